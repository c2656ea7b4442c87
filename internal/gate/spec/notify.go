package spec

import "time"

// Notify is somebody who is told what happens to a rollout.
type Notify struct {
	// URL, or URLKey: a file with it among the keys of whoever sends, where it holds a secret, as Slack's do.
	URL, URLKey string
	// Template is generic, the event as JSON, or slack, a message that Slack and whatever is compatible with it show. Default generic.
	Template string
	// On are the kinds of event that are told. Default: started, waiting, promoted, aborting and held.
	On []string
	// Key names a file with the key of the signature. Empty: not signed.
	Key string
	// Header is sent with each message.
	Header map[string]string
	// Timeout of one try. Default 10s.
	Timeout time.Duration
}
