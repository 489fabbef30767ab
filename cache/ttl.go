package cache

import (
	"math"
	"math/rand/v2"
	"time"
)

// jittered returns base, give or take up to the given share of it, uniformly, so that entries stored together do not
// expire together.
func jittered(base time.Duration, share float64) time.Duration {
	return base + time.Duration((2*rand.Float64()-1)*share*float64(base))
}

// renewBeta makes renewal earlier than the load needs: XFetch's beta (Vattani, Chierichetti, Lowenstein: Optimal
// Probabilistic Cache Stampede Prevention, VLDB 2015), where values above 1 favour earlier renewal.
const renewBeta = 2

// renewLead returns how long before its expiry an entry is to be renewed that takes cost to load: XFetch's draw, made
// once when the entry is stored rather than at every hit, since one caller alone acts on it.
func renewLead(cost time.Duration) time.Duration {
	return time.Duration(renewBeta * float64(cost) * -math.Log(1-rand.Float64()))
}
