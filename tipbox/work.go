package tipbox

import (
	"context"
	"slices"

	"tipbox/crypto/roster"
)

// Now is what the case needs of the member next, or "": it waits for somebody
// else, for the source, or for nothing. It goes by what is in the clear.
func (i InboxItem) Now(m *roster.Member) Action {
	investigates, mine := m.Investigates(i.Channel), i.Owner == m.Name() || i.Owner == ""
	switch {
	case slices.Contains(i.Recused, m.Name()):
		return ""
	case i.State == StateReceived && investigates:
		return ActionAck
	case i.State == StateAcknowledged && investigates:
		return ActionAccept
	case i.State == StateAccepted && investigates:
		return ActionAssign
	case i.State == StateReverifying && investigates && i.Owner == "":
		return ActionAssign
	case i.State == StateReverifying && !slices.Contains(i.Took, m.Name()) && !slices.Contains(i.Votes, m.Name()):
		return ActionFinding
	case i.From == FromSource && investigates && mine:
		return ActionReply
	case (i.State == StateAssigned || i.State == StateInvestigating) && !slices.Contains(i.Votes, m.Name()) && (i.Owner == m.Name() || len(i.Votes) > 0):
		return ActionFinding
	case i.State == StateFound && investigates && mine:
		return ActionAnswer
	case (i.State == StateAnswered || i.State == StateReverified) && m.Reviews(i.Channel) && !slices.Contains(i.Worked, m.Name()):
		return ActionClose
	}
	return ""
}

// HasWork reports whether a case needs the member now. It reads the whole inbox
// also if the first case does: how long it takes is not to tell what it finds.
func (s *Service) HasWork(ctx context.Context, m *roster.Member) (has bool, err error) {
	for cursor := ""; ; {
		items, next, err := s.Inbox(ctx, m, InboxFilter{}, cursor, MaxPage)
		if err != nil {
			return false, err
		}
		for _, i := range items {
			has = i.Now(m) != "" || has
		}
		if cursor = next; cursor == "" {
			return has, nil
		}
	}
}
