package web_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// A node is an element of a page, or a piece of text, whose tag is "".
type node struct {
	tag  string
	attr map[string]string
	kids []*node
	text string
}

// parse reads a page. Our pages are close enough to XML for this: a page that
// is not well nested fails the test.
func parse(t testing.TB, page []byte) *node {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	root := new(node)
	open := []*node{root}
	for {
		token, err := d.Token()
		if err == io.EOF {
			if len(open) != 1 {
				t.Fatalf("the page ends within <%s>", open[len(open)-1].tag)
			}
			return root
		}
		if err != nil {
			t.Fatalf("not a well-nested page: %v\n%s", err, page)
		}
		top := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			n := &node{tag: token.Name.Local, attr: make(map[string]string)}
			for _, a := range token.Attr {
				n.attr[a.Name.Local] = a.Value
			}
			top.kids = append(top.kids, n)
			open = append(open, n)
		case xml.EndElement:
			if top.tag != token.Name.Local {
				t.Fatalf("<%s> is closed by </%s>\n%s", top.tag, token.Name.Local, page)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			top.kids = append(top.kids, &node{text: string(token)})
		}
	}
}

// all returns the elements below n, in the page's order, that the function
// wants.
func (n *node) all(want func(*node) bool) []*node {
	var found []*node
	for _, kid := range n.kids {
		if kid.tag != "" && want(kid) {
			found = append(found, kid)
		}
		found = append(found, kid.all(want)...)
	}
	return found
}

func (n *node) tags(tags ...string) []*node {
	return n.all(func(n *node) bool { return slices.Contains(tags, n.tag) })
}

// id returns the only element with that id.
func (n *node) id(t testing.TB, id string) *node {
	t.Helper()
	found := n.all(func(n *node) bool { return n.attr["id"] == id })
	if len(found) != 1 {
		t.Fatalf("%d elements have the id %s", len(found), id)
	}
	return found[0]
}

// inner is the text of an element, as it is.
func (n *node) inner() string {
	if n.tag == "" && n.kids == nil {
		return n.text
	}
	var b strings.Builder
	for _, kid := range n.kids {
		b.WriteString(kid.inner())
	}
	return b.String()
}

// A form is what a browser would send: names and values in the page's order.
type form struct {
	action, enctype string
	names           []string // once each
	values          url.Values
	required        []string
	file            string // name of the file input; "" if there is none
}

// form returns the page's only form with that action.
func (n *node) form(t testing.TB, action string) *form {
	t.Helper()
	found := n.all(func(n *node) bool { return n.tag == "form" && n.attr["action"] == action })
	if len(found) != 1 {
		t.Fatalf("%d forms lead to %s", len(found), action)
	}
	return found[0].asForm(t)
}

// asForm is a <form> as a browser would send it.
func (n *node) asForm(t testing.TB) *form {
	t.Helper()
	f := &form{action: n.attr["action"], enctype: n.attr["enctype"], values: make(url.Values)}
	for _, n := range n.tags("input", "textarea") {
		name := n.attr["name"]
		if !slices.Contains(f.names, name) {
			f.names = append(f.names, name)
			if _, ok := n.attr["required"]; ok {
				f.required = append(f.required, name)
			}
		}
		_, checked := n.attr["checked"]
		switch kind := n.attr["type"]; {
		case n.tag == "textarea":
			f.values.Add(name, strings.TrimPrefix(n.inner(), "\n"))
		case kind == "file":
			f.file = name
		case kind == "radio" || kind == "checkbox":
			if checked {
				f.values.Add(name, n.attr["value"])
			}
		case kind == "hidden" || kind == "text":
			f.values.Add(name, n.attr["value"])
		default:
			t.Fatalf("a form has an input of type %q", kind)
		}
	}
	return f
}

// set fills in a field that the form must have.
func (f *form) set(t testing.TB, name string, values ...string) *form {
	t.Helper()
	if !slices.Contains(f.names, name) {
		t.Fatalf("the form has no field %s", name)
	}
	f.values[name] = values
	return f
}
