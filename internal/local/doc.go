// Package local is the platform of one machine: versions run as processes behind the built-in proxy.
//
// Up serves an app file. A Client gives the orders that people type. The processes are not tied to the life of Gapless:
// they have sessions of their own, write their logs to files themselves, and are found again by pid and start time.
package local

import (
	"crypto/sha256"
	"encoding/hex"
)

// hash is a short name for something long.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}
