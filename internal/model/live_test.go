package model

import "testing"

// TestChangesGoOnWhileASlotMoves shows that a slot that is on its way, and stays so, keeps nobody from telling of changes.
func TestChangesGoOnWhileASlotMoves(t *testing.T) {
	t.Parallel()
	p := Protocol{Nodes: 1, Masters: 1, Commits: 2, Moves: 1, Behind: 1}
	begin := p.start()[0]
	nobody := begin.Feed.Roster.unlisted(1)
	begin.Feed.Roster, begin.Sidecars[0].Members, begin.Nodes[0].Roster = nobody, nobody, nobody
	begin.Procs[0].Slot, begin.Procs[1].Slot, begin.Left.Moves = leaves, comes, 0
	r := Space[State]{
		Begin: []State{begin},
		Next: func(s State, yield func(Did, State)) {
			p.next(s, func(d Did, to State) {
				if to.Procs[0].Slot == leaves {
					yield(d, to)
				}
			})
		},
		Wrong: func(s State) string {
			if n := &s.Nodes[0]; n.Watermark == 3 && n.Roster == nobody {
				return "everything has been told"
			}
			return p.wrong(s)
		},
	}.Search(memory)
	t.Log(r)
	if r.Wrong != "everything has been told" {
		t.Error("not everything can be told")
	}
}
