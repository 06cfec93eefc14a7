package web_test

import (
	"testing"
	"time"

	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

func TestSourceTakesBackAnUnreadTip(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	code := s.tip(t, tipboxtest.Canary, tipboxtest.File{Name: "a", Content: "b"}).want(t, 200).words(t)
	thread := s.send(t, s.codeForm(t, code)).want(t, 200)
	erase := thread.page.form(t, "/thread/erase")

	// Not without saying so.
	unsure := s.send(t, erase).want(t, 422)
	unsure.contains(t, "Nothing was erased: please tick")
	if len(s.Inbox("alice")) != 1 {
		t.Fatal("it was erased")
	}
	s.send(t, erase.set(t, "sure", "yes")).want(t, 200).contains(t, "Your tip has been erased")
	if items := s.Inbox("alice"); len(items) != 0 {
		t.Errorf("inbox: %+v", items)
	}
	// From now on the code is like one that was never given out.
	erased := s.send(t, s.codeForm(t, code)).want(t, 404)
	erased.contains(t, "This code opens nothing")
	s.send(t, erase).want(t, 404).contains(t, "This code opens nothing")
}

func TestSourceCannotTakeBackWhatWasRead(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	code := s.tip(t, "text").want(t, 200).words(t)
	erase := s.send(t, s.codeForm(t, code)).want(t, 200).page.form(t, "/thread/erase").set(t, "sure", "yes")
	s.Open("alice", s.Inbox("alice")[0].Tip)
	s.send(t, erase).want(t, 409).contains(t, "the desk has opened your tip meanwhile")
	opened := s.send(t, s.codeForm(t, code)).want(t, 200)
	opened.contains(t, "The desk has opened it.")
	if len(opened.page.all(func(n *node) bool { return n.tag == "form" && n.attr["action"] == "/thread/erase" })) > 0 {
		t.Error("the page still offers it")
	}
	s.Clock.Advance(tipbox.SessionLife + time.Second)
	s.send(t, erase).want(t, 409).contains(t, "the page was open for too long")
}
