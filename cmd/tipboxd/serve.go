package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	_ "time/tzdata" // the organisation's days, also on a machine without zones

	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/web"
)

type serveCmd struct {
	Dir string `arg:"" help:"The server's folder." type:"existingdir"`
	confineFlags
}

func (*serveCmd) Help() string {
	return "Example: tipboxd serve /srv/tipbox\n\n" +
		"It stops on an interrupt, after what is being received has come in, or half a minute. A newer roster.note is taken up while it runs.\n\n" +
		"From the first request on it can open no file but those of its folder and those that tipbox.toml names, start no program, " +
		"and begin no connection but those of [notify] and, with acme, of [tls]. It says what this machine cannot do of that, and goes on; " +
		"with --require-confinement it does not start.\n\n" +
		"Started by systemd, it serves on the sockets that are passed with the names sources, desk and tls, in the place of listen, desk and that of [tls] in tipbox.toml, " +
		"and says when it is ready (Type=notify) and that it is alive (WatchdogSec=)."
}

func (c *serveCmd) Run(a *app) error {
	if err := actAsOwner(c.Dir); err != nil {
		return err
	}
	a.keepMemory()
	go web.Preload()
	f, err := openFolder(a.ctx, c.Dir, a.log)
	if err != nil {
		return err
	}
	defer f.Close()
	return a.serve(f, c.RequireConfinement, f.config.addresses(), func(at listenAddresses) error {
		a.log.Info("serving", "sources", at.Sources, "desk", at.Desk)
		return nil
	})
}

const (
	stopTime    = 30 * time.Second // for requests under way when the server stops
	rosterEvery = 2 * time.Second  // between looks at roster.note
)

// serve serves the folder until the context ends. Ready is called once all
// listeners are open, with where, and before anybody is answered. Required says
// that it must be shut in whole for that.
func (a *app) serve(f *folder, required bool, at listenAddresses, ready func(listenAddresses) error) error {
	if err := f.fit(f.service.Roster()); err != nil {
		return err
	}
	look, err := f.loadLook()
	if err != nil {
		return err
	}
	tuneMemory()
	// Nothing is being received yet, so what no message names is left over
	// from a crash.
	if n, err := f.service.Sweep(a.ctx); err != nil {
		a.log.Error("sweeping failed: run tipboxd check", "error", err)
	} else if n > 0 {
		a.log.Info("removed files of tips that were never finished", "files", n)
	}
	pages, err := web.New(web.Config{Service: f.service, Log: a.log, Look: look, Onion: f.config.Onion})
	if err != nil {
		return err
	}
	config, err := desk.ServerTLS(f.key, f.service.Roster)
	if err != nil {
		return err
	}
	f.certs, err = f.loadCertificates(time.Now)
	if err != nil {
		return err
	}
	sources, members, secure, err := at.listen(f.config.TLS.Listen)
	if err != nil {
		return err
	}
	defer sources.Close()
	defer members.Close()
	if secure != nil {
		defer secure.Close()
	}
	systemd := findSupervisor(a.log)
	defer systemd.watch(f.alive)()
	f.listens = listenAddresses{addressOf(sources), addressOf(members)}
	most := maxConnections()
	f.sources, f.members = newCrowd(sources, most), newCrowd(members, most/4)
	f.prober = newProber()
	process, forget := thisProcess()
	defer forget()
	f.observer = &observer{service: f.service, since: f.service.Today(), process: process}
	if err := f.observer.look(a.ctx); err != nil {
		a.log.Error("status and counters are not of today", "error", err)
	}
	stopControl, err := f.serveControl(a.ctx, a.log)
	if err != nil {
		return err
	}
	defer stopControl()
	if err := a.shutIn(f, required); err != nil {
		return err
	}
	servers := []*http.Server{newServer(f.prober.before(pages)), newServer(desk.New(desk.Config{Service: f.service, Log: a.log}))}
	listeners := []net.Listener{f.sources, tls.NewListener(f.members, config)}
	if secure != nil {
		servers = append(servers, newServer(strictly(f.prober.before(pages))))
		listeners = append(listeners, tls.NewListener(&door{secure, f.sources}, f.sourcesTLS(f.certs)))
		a.log.Info("serving over TLS", "sources", secure.Addr().String())
	}
	if err := ready(f.listens); err != nil { // whoever connects is waiting already
		return err
	}
	failed := make(chan error, len(servers))
	for i, l := range listeners {
		go func() { failed <- servers[i].Serve(l) }()
	}
	systemd.ready()
	watch, stopWatching := context.WithCancel(a.ctx)
	var watchers sync.WaitGroup
	defer func() { // nobody writes into the folder of a server that has ended
		stopWatching()
		watchers.Wait()
	}()
	watchers.Go(func() { f.watchRoster(watch, a) })
	if f.certs != nil {
		go f.certs.keep(watch, a.log)
	}
	watchers.Go(func() { f.retain(watch, a) })
	watchers.Go(func() { f.hideTimes(watch) })
	watchers.Go(func() { f.observer.observe(watch, a, f.location) })
	defer f.serveNotices(watch, a)()
	select {
	case err = <-failed:
	case <-a.ctx.Done():
		a.log.Info("stopping")
		systemd.stopping()
	}
	err = errors.Join(err, shutdown(servers))
	if err := f.service.FlushVisits(context.WithoutCancel(a.ctx), true); err != nil {
		a.log.Error("on which day codes were used is not written", "error", err)
	}
	return err
}

// alive reports why the server could serve nobody.
func (f *folder) alive(ctx context.Context) error {
	_, err := tipbox.StoreFormat(ctx, f.db)
	return err
}

// shutdown lets requests under way finish, within stopTime.
func shutdown(servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				errs[i] = errors.Join(fmt.Errorf("a request under way was cut off: %w", err), s.Close())
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		// What net/http logs of a connection names the other end.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// watchRoster takes up roster.note when it changes.
func (f *folder) watchRoster(ctx context.Context, a *app) {
	tick := time.NewTicker(rosterEvery)
	defer tick.Stop()
	var settled os.FileInfo // of the file about which all is said
	for {
		info, err := os.Stat(f.file(rosterName))
		if err == nil && (settled == nil || !os.SameFile(info, settled) || !info.ModTime().Equal(settled.ModTime()) || info.Size() != settled.Size()) {
			settled = nil
			if f.renewRoster(ctx, a) {
				settled = info
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// renewRoster installs roster.note as it is now. It reports whether there is
// nothing to try again: it is in force, or was refused for what it is.
func (f *folder) renewRoster(ctx context.Context, a *app) bool {
	before := f.service.Roster().Serial
	signed, err := readFile(f.file(rosterName))
	if err == nil {
		var r *roster.Roster
		if r, err = roster.Open(signed, f.config.Root, f.service.Roster().Mark()); err == nil {
			err = f.fit(r)
		}
	}
	if err == nil {
		err = f.service.InstallRoster(ctx, signed)
	}
	if ctx.Err() != nil {
		return false // the server stops, which is no fault of the roster's
	}
	if err != nil {
		a.log.Error("the new roster is not taken up, the old one stays in force", "error", err)
		for _, final := range []error{errUnfit, roster.ErrSignature, roster.ErrOlder, roster.ErrFormat, roster.ErrCard, roster.ErrDuplicate} {
			if errors.Is(err, final) {
				return true
			}
		}
		return false
	}
	if now := f.service.Roster().Serial; now != before {
		a.log.Info("new roster", "serial", now)
		if err := f.service.Derive(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("deadlines are as the roster before had them: the next start goes on", "error", err)
		}
	}
	return true
}
