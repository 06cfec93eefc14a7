package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// A prober tells the operator whether a way that leads out into the world, such as an
// onion service, leads back to this very process. The operator gets a question with
// its answer on the control socket, and asks at /healthz: only this server knows the
// answer, or whoever hands the question on to it. Nobody else can have one asked.
type prober struct {
	now func() time.Time

	mu    sync.Mutex
	asked map[string]probe // by question; guarded by mu
}

// A probe is a question and its answer.
type probe struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
	until    time.Time
}

// probeTime is how long a question is answered.
const probeTime = 10 * time.Minute

func newProber() *prober { return &prober{now: time.Now, asked: make(map[string]probe)} }

// prepare makes a question that will be answered.
func (p *prober) prepare() probe {
	now := p.now()
	next := probe{rand.Text(), rand.Text(), now.Add(probeTime)}
	p.mu.Lock()
	defer p.mu.Unlock()
	for question, old := range p.asked {
		if now.After(old.until) {
			delete(p.asked, question)
		}
	}
	p.asked[next.Question] = next
	return next
}

// answerTo is the answer to a question, "" if there is none.
func (p *prober) answerTo(question string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.asked[question]
	if p.now().After(known.until) {
		return ""
	}
	return known.Answer
}

// before answers questions, and leaves everything else to the next.
func (p *prober) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/healthz" && r.URL.RawQuery != "" {
			if answer := p.answerTo(r.URL.Query().Get("probe")); answer != "" {
				w.Header().Set("Content-Type", "text/plain; charset=utf-8")
				w.Header().Set("Cache-Control", "no-store")
				io.WriteString(w, answer+"\n")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// askProbe gets a question from the server of the folder; errNoServer if none runs.
func askProbe(ctx context.Context, dir string) (probe, error) {
	var p probe
	doc, err := askDocument(ctx, dir, probeRequest)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(doc, &p); err != nil || p.Answer == "" {
		return p, fmt.Errorf("the server has no question to be asked: is it of another version? (%v)", err)
	}
	return p, nil
}
