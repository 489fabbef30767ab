package cache

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"vidmeta/schema"
)

// slotCount is how many slots the keys of a cluster are dealt out to (Redis Cluster Specification, "Key distribution model").
const slotCount = 16384

// everySlot is what a server has that is none of a cluster.
const everySlot = "0-16383"

// slots is a set of slots.
type slots [slotCount / 64]uint64

func (s *slots) add(slot int)      { s[slot/64] |= 1 << (slot % 64) }
func (s *slots) remove(slot int)   { s[slot/64] &^= 1 << (slot % 64) }
func (s *slots) has(slot int) bool { return s[slot/64]&(1<<(slot%64)) != 0 }

// without returns the slots that are not in o.
func (s *slots) without(o *slots) *slots {
	rest := new(slots)
	for i := range s {
		rest[i] = s[i] &^ o[i]
	}
	return rest
}

// all yields the slots in order.
func (s *slots) all(yield func(slot int) bool) {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			if !yield(i*64 + bits.TrailingZeros64(word)) {
				return
			}
		}
	}
}

// String returns the slots as ranges, 0-5460,5462, which parseSlots reads.
func (s *slots) String() string {
	var b []byte
	first, last := -1, -1
	end := func() {
		if first < 0 {
			return
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(first), 10)
		if last > first {
			b = strconv.AppendInt(append(b, '-'), int64(last), 10)
		}
	}
	for slot := range s.all {
		if slot != last+1 || first < 0 {
			end()
			first = slot
		}
		last = slot
	}
	end()
	return string(b)
}

// addRange adds what a text like 5462 or 0-5460 names.
func (s *slots) addRange(text string) error {
	low, high, isRange := strings.Cut(text, "-")
	first, err := strconv.Atoi(low)
	last := first
	if isRange && err == nil {
		last, err = strconv.Atoi(high)
	}
	if err != nil || first < 0 || last < first || last >= slotCount {
		return fmt.Errorf("%q is no range of slots", text)
	}
	for slot := first; slot <= last; slot++ {
		s.add(slot)
	}
	return nil
}

// parseSlots reads ranges with commas between them.
func parseSlots(text string) (*slots, error) {
	s := new(slots)
	if text == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		if err := s.addRange(part); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ownSlots returns the slots of the server that has answered CLUSTER NODES with text, and those that are on their way from or
// to it, in brackets there.
func ownSlots(text string) (own, moving *slots, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		const fixed = 8 // id, address, flags, master, ping, pong, epoch, link
		if len(fields) < fixed || !strings.Contains(fields[2], "myself") {
			continue
		}
		own, moving = new(slots), new(slots)
		for _, f := range fields[fixed:] {
			to := own
			if rest, ok := strings.CutPrefix(f, "["); ok {
				to = moving // [93-<-ID] or [77->-ID]
				f, _, _ = strings.Cut(rest, "-")
			}
			if err := to.addRange(f); err != nil {
				return nil, nil, err
			}
		}
		return own, moving, nil
	}
	return nil, nil, fmt.Errorf("no line of the server's own in %q", text)
}

// crc16 is the table of CRC-16/XMODEM, of which the specification makes slots.
var crc16 = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			if crc <<= 1; carry {
				crc ^= 0x1021
			}
		}
		table[i] = crc
	}
	return table
}()

func tagSlot[T string | []byte](tag T) int {
	var crc uint16
	for i := range len(tag) {
		crc = crc<<8 ^ crc16[byte(crc>>8)^tag[i]]
	}
	return int(crc % slotCount)
}

// keySlot returns the slot of a key: of what is between its first brace and the next closing one, if anything is.
func keySlot(key string) int {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			return tagSlot(tag)
		}
	}
	return tagSlot(key)
}

// slotOf returns the slot of a document's keys.
func slotOf(id schema.ID) int {
	var b [32]byte
	return tagSlot(strconv.AppendUint(append(b[:0], "video:"...), uint64(id), 10))
}
