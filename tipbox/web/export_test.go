package web

import (
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"text/template/parse"

	"github.com/gorilla/mux"
)

// Routes are all routes with their methods: "GET /tip".
func Routes(cfg Config) (routes []string, err error) {
	e, err := loadEmbedded()
	if err != nil {
		return nil, err
	}
	s, err := newSite(cfg, e)
	if err != nil {
		return nil, err
	}
	err = s.routes().Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := r.GetMethods()
		for _, method := range methods {
			routes = append(routes, method+" "+path)
		}
		return err
	})
	return routes, err
}

// Marked is New with a mark in every template and every branch of one, so that a
// page tells what made it. The marks are by their place in the file.
func Marked(cfg Config, marks map[string]string) (http.Handler, error) {
	fresh, err := loadPages() // not the process's, which others may have used
	if err != nil {
		return nil, err
	}
	e, err := loadEmbedded()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(fresh.byName)) {
		for _, t := range fresh.byName[name].Templates() {
			if t.Tree != nil && t.Name() != t.Tree.ParseName { // what is outside of {{define}} is nowhere
				mark(t, t.Tree.Root, t.Name(), marks)
			}
		}
	}
	s, err := newSite(cfg, &embedded{fresh, e.langs})
	if err != nil {
		return nil, err
	}
	return s.guard(s.routes()), nil
}

// mark puts a mark at the beginning of a list of nodes and of every list within. It
// may stand in a text, among the attributes of an element and in one's value.
func mark(t *template.Template, list *parse.ListNode, what string, marks map[string]string) {
	place := fmt.Sprintf("%s:%d: %s", t.Tree.ParseName, list.Position(), what)
	if marks[place] == "" {
		marks[place] = fmt.Sprintf("mark%d", len(marks))
	}
	for _, n := range list.Nodes {
		branch := func(kind string, b *parse.BranchNode) {
			mark(t, b.List, fmt.Sprintf("{{%s %s}}", kind, b.Pipe), marks)
			if b.ElseList != nil {
				mark(t, b.ElseList, fmt.Sprintf("{{else}} of {{%s %s}}", kind, b.Pipe), marks)
			}
		}
		switch n := n.(type) {
		case *parse.IfNode:
			branch("if", &n.BranchNode)
		case *parse.RangeNode:
			branch("range", &n.BranchNode)
		case *parse.WithNode:
			branch("with", &n.BranchNode)
		}
	}
	list.Nodes = slices.Insert(list.Nodes, 0, parse.Node(&parse.TextNode{NodeType: parse.NodeText, Text: []byte(" " + marks[place] + " ")}))
}

// What the lengths of answers rest on.
var (
	Padded    = padded
	TakesGzip = takesGzip
)
