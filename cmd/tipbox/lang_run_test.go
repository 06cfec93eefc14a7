package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tipbox/tipbox/tipboxtest"
)

func TestLanguageIsThatOfTheFlagThenOfTheEnvironment(t *testing.T) {
	for _, tt := range []struct {
		args                  string
		all, messages, locale string
		chinese               bool
	}{
		{"inbox", "", "", "zh_CN.UTF-8", true},
		{"inbox", "", "", "zh_SG", true},
		{"inbox", "", "", "zh-Hans-CN", true},
		{"inbox", "", "zh_CN.UTF-8", "en_US.UTF-8", true},
		{"inbox", "", "en_US.UTF-8", "zh_CN.UTF-8", false},
		{"inbox", "C", "zh_CN.UTF-8", "zh_CN.UTF-8", false},
		{"inbox", "POSIX", "", "zh_CN.UTF-8", false},
		{"inbox", "C.UTF-8", "", "zh_CN.UTF-8", false},
		{"inbox", "zh_CN.GB18030@pinyin", "", "C", true},
		{"inbox", "", "", "", false},
		{"inbox", "", "", "tlh_KX.UTF-8", false},
		{"inbox", "", "", "fr_FR.UTF-8", false},
		{"inbox", "", "", "../../etc/passwd", false},
		{"--lang zh inbox", "", "", "en_US.UTF-8", true},
		{"--lang zh-Hans inbox", "", "", "", true},
		{"--lang zh-CN inbox", "", "", "", true},
		{"--lang zh_CN inbox", "", "", "", true},
		{"inbox --lang=zh", "C", "", "", true},
		{"inbox --lang=en", "zh_CN.UTF-8", "", "", false},
		{"inbox --lang=klingon", "zh_CN.UTF-8", "", "", false},
		{"inbox --lang", "zh_CN.UTF-8", "", "", true},
		{"inbox -- --lang zh", "", "", "", false},
	} {
		env := map[string]string{"LC_ALL": tt.all, "LC_MESSAGES": tt.messages, "LANG": tt.locale}
		c, err := languageFor(strings.Fields(tt.args), func(name string) string { return env[name] })
		if err != nil || (c != nil) != tt.chinese {
			t.Errorf("%s with %v is Chinese: %v, %v", tt.args, env, c != nil, err)
		}
	}
}

// What other programs read is the same for a member who reads Chinese.
func TestWhatProgramsReadIsTheSameInEveryLanguage(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("There is a fund.", tipboxtest.File{Name: "账.txt", Type: "text/plain", Content: "x"})
	b.Submit("There is another.")
	tip := b.tip()
	b.ok("alice", "ack", tip, "-m", "read")
	for _, args := range [][]string{
		{"--json", "inbox"}, {"--json", "read", tip}, {"--json", "case", tip}, {"--json", "due"}, {"--json", "refer", tip},
		{"--json", "note", "-", "-m", "x"}, {"--json", "answer", "-", "-m", "x"}, {"--json", "card"}, {"--json", "schedule"}, {"--json", "nothing"},
		{"due", "--ics"}, {"card"}, {"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"},
		{"save", tip, "-o", "DIR"}, {"export", tip, "-o", "DIR"}, {"roster", "schedule", "--example", "schedule"},
	} {
		var outputs, files []string
		for _, lang := range []string{"en", "zh-Hans"} {
			dir := filepath.Join(t.TempDir(), "out")
			var line []string
			for _, arg := range args {
				line = append(line, strings.ReplaceAll(arg, "DIR", dir))
			}
			var out, errs bytes.Buffer
			run(context.Background(), append([]string{"--home", b.home("alice"), "--lang", lang}, line...), strings.NewReader("no-tip\nk3f7qwzm2abcdefg\n"), &out, &errs)
			outputs = append(outputs, strings.ReplaceAll(out.String(), dir, "DIR"))
			readme, _ := os.ReadFile(filepath.Join(dir, "README.txt"))
			files = append(files, string(readme))
			if lang == "zh-Hans" && errs.Len() > 0 && !regexp.MustCompile(`\p{Han}`).MatchString(errs.String()) {
				t.Errorf("%v says %q", args, errs.String())
			}
		}
		if outputs[0] != outputs[1] || files[0] != files[1] {
			t.Errorf("%v prints in English\n%s\nand in Chinese\n%s", args, outputs[0], outputs[1])
		}
	}
}

func TestCompletionsAreExplainedInTheLanguage(t *testing.T) {
	english, _ := toolSays(t, "__complete", "inbox", "--")
	said, _ := toolSays(t, "__complete", "--lang", "zh", "inbox", "--")
	words := func(text string) string { return regexp.MustCompile(`(?m)\t.*$`).ReplaceAllString(text, "") }
	if words(english) != words(said) || !strings.Contains(said, "--state\t只列出处于该状态的案件，例如 received 或 assigned。\n") {
		t.Errorf("offers\n%s\nand in English\n%s", said, english)
	}
}

// A list that was printed in one language is read in another.
func TestHeadingsOfEveryLanguageArePassedOver(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	for _, lang := range []string{"zh-Hans", "en"} {
		list := b.ok("alice", "--lang", lang, "inbox")
		var out, errs bytes.Buffer
		if status := run(context.Background(), []string{"--home", b.home("alice"), "note", "-", "-m", "x"}, strings.NewReader(list), &out, &errs); status != exitDone {
			t.Errorf("a list in %s: status %d\n%s%s%s", lang, status, list, out.String(), errs.String())
		}
	}
}

func TestTheDeskSpeaksChinese(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("There is a fund.")
	tip := b.tip()
	for _, step := range []struct {
		args []string
		want string // of both outputs
	}{
		{[]string{"inbox"}, `举报 +类别 +收到日期 +最近来信 +状态 .*\n.* received（已收到） .* 待回复 +ack\n(.|\n)*阅读其中一份：tipbox read`},
		{[]string{"read", tip}, `举报 ` + tip + `，off-book-funds，收到日期：.*\n\n--- 第 1 条消息，.*，发自：举报人 ---\n│ There is a fund\.`},
		{[]string{"ack", tip, "-m", "读过"}, `完成。案件状态：acknowledged（已确认）。`},
		{[]string{"case", tip}, `acknowledged（已确认）\n(.|\n)*确认已读： +20(.|\n)*tip（举报） +举报人(.|\n)*ack（确认已读） +alice\n│ 读过`},
		{[]string{"answer", tip, "-m", "x"}, `tipbox: 受理服务器答复：规则 path：|tipbox: 规则 path：acknowledged 状态的案件不能 answer；现在可以：.*\n谁在什么时候可以做什么：tipbox case --help`},
		{[]string{"read", "k3f7qwzm2abcdefg"}, `tipbox: .*没有找到\n查看您能阅读的举报：tipbox inbox`},
		{[]string{"erase", tip}, `tipbox: 没有删除：删除后无法恢复，确认请加 --yes`},
		{[]string{"due"}, `期限 +事项 +举报(.|\n)*answer（答复）`},
	} {
		_, stdout, stderr := b.tipbox("alice", append([]string{"--lang", "zh"}, step.args...)...)
		if !regexp.MustCompile(step.want).MatchString(stdout + stderr) {
			t.Errorf("%v says\n%s%s\nand not %s", step.args, stdout, stderr, step.want)
		}
	}
}

func TestColumnsLineUpUnderWideHeadings(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, lang: chinese(t)}
	w := a.table()
	w.head("TIP\tCHANNEL\tLAST NEWS\tOWNER")
	w.Write([]byte("k3f7qwzm2abcdefg\tbribery\t2026-11-26\talice\n"))
	w.Write([]byte("短\t账外资金\t\t审计处\n"))
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	a.print("  %-8s %s\n", "金额", "1")
	a.print("  %-8s %s\n", "number", "2")
	want := "" +
		"举报              类别      最近来信    负责人\n" +
		"k3f7qwzm2abcdefg  bribery   2026-11-26  alice\n" +
		"短                账外资金              审计处\n" +
		"  金额     1\n" +
		"  number   2\n"
	if out.String() != want {
		t.Errorf("the table is\n%s\nnot\n%s", out.String(), want)
	}
}

// A line that the terminal breaks in two cannot be read as a line.
func TestATableLeavesOutWhatItCanSpareOnANarrowTerminal(t *testing.T) {
	w := (&app{lang: chinese(t)}).table()
	w.head("TIP\tCHANNEL\tFILES\tOWNER", "FILES", "CHANNEL")
	w.Write([]byte("k3f7\t账外资金\t12\t审计处\n"))
	for columns, want := range map[int]string{
		0:  "举报  类别      文件  负责人\nk3f7  账外资金  12    审计处\n",
		28: "举报  类别      文件  负责人\nk3f7  账外资金  12    审计处\n",
		27: "举报  类别      负责人\nk3f7  账外资金  审计处\n",
		21: "举报  负责人\nk3f7  审计处\n",
		5:  "举报  负责人\nk3f7  审计处\n",
	} {
		if got, err := w.lineUp(columns); err != nil || got != want {
			t.Errorf("in %d columns it is %v\n%s", columns, err, got)
		}
	}
}

// Only a table knows how wide characters are.
func TestTablesAreMadeInOnePlace(t *testing.T) {
	names, _ := filepath.Glob("*.go")
	for _, name := range names {
		if text, err := os.ReadFile(name); err != nil || name != "table.go" && name != "lang_run_test.go" && bytes.Contains(text, []byte("tabwriter.New")) {
			t.Errorf("%s makes a table of its own: a.table() lines wide characters up (%v)", name, err)
		}
	}
}

func TestHelpFitsTheTerminalInChinese(t *testing.T) {
	stdout, _ := toolSays(t, "--help")
	var commands [][]string
	_, list, _ := strings.Cut(stdout, "Commands:\n")
	for _, found := range regexp.MustCompile(`(?m)^  (\w+(?: \w+)?)  `).FindAllStringSubmatch(list, -1) {
		commands = append(commands, strings.Fields(found[1]))
	}
	if len(commands) < 40 {
		t.Fatalf("only %d commands", len(commands))
	}
	for _, command := range commands {
		help, stderr := toolSays(t, append([]string{"--lang", "zh", "--help"}, command...)...)
		if stderr != "" || !strings.Contains(help, "用法：tipbox") || !strings.Contains(help, "选项：\n") {
			t.Errorf("tipbox --help %v: %s%s", command, stderr, help)
		}
		if strings.Contains(help, solid) || strings.Contains(help, second) {
			t.Errorf("tipbox --help %v has marks that are the program's own", command)
		}
		for line := range strings.Lines(help) {
			line = strings.TrimSuffix(line, "\n")
			if columnsOf(line) > 80 {
				t.Errorf("%d columns: %s", columnsOf(line), line)
			}
			if strings.IndexAny(strings.TrimLeft(line, " "), "，。；：、）") == 0 {
				t.Errorf("a line begins with a closing mark: %s", line)
			}
		}
	}
}
