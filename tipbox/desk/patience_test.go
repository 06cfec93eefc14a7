package desk_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// hasty is a connection whose time is over at once, if it has any.
type hasty struct{ net.Conn }

func (c hasty) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		t = time.Unix(1, 0)
	}
	return c.Conn.SetReadDeadline(t)
}

func TestClientDoesNotWaitForEver(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	silent, server := net.Pipe()
	defer server.Close()
	go func() { // takes what is said, and never answers
		buf := make([]byte, 1<<10)
		for err := error(nil); err == nil; {
			_, err = server.Read(buf)
		}
	}()
	c, err := desk.NewClient(desk.ClientConfig{
		Address: "desk.example:1", Key: o.Key("alice").SigningKey, Roster: o.Service.Roster(),
		Dial: func(context.Context, string, string) (net.Conn, error) { return hasty{silent}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := c.Roster(ctx); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, desk.ErrUnreachable) || ctx.Err() != nil {
		t.Errorf("error %v", err)
	}
}
