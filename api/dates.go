package api

import "time"

// The two forms of a time that every answer has, written out: package time reads its layouts anew each time, which
// was a quarter of the cost of a hit.

const (
	weekdays = "SunMonTueWedThuFriSat"
	months   = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

// appendAsOf appends RFC 3339 in UTC with milliseconds. The rest is cut off, so the time written is never too late.
func appendAsOf(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(appendTwo(b, year/100), byte('0'+year/10%10), byte('0'+year%10), '-')
	b = append(appendTwo(b, int(month)), '-')
	b = append(appendTwo(b, day), 'T')
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	b = append(appendTwo(b, second), '.')
	ms := t.Nanosecond() / 1_000_000
	return append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// appendHTTPDate appends the form of http.TimeFormat.
func appendHTTPDate(b []byte, unix int64) []byte {
	t := time.Unix(unix, 0).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	weekday := 3 * int(t.Weekday())
	b = append(append(b, weekdays[weekday:weekday+3]...), ", "...)
	b = append(appendTwo(b, day), ' ')
	b = append(append(b, months[3*int(month)-3:3*int(month)]...), ' ')
	b = append(appendTwo(b, year/100), byte('0'+year/10%10), byte('0'+year%10), ' ')
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	return append(appendTwo(b, second), " GMT"...)
}

// appendTwo appends a number from 0 to 99 in two digits.
func appendTwo(b []byte, n int) []byte {
	return append(b, byte('0'+n/10%10), byte('0'+n%10))
}
