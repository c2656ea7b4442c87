package git

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // what a hashed name in known_hosts is made with
	"encoding/base64"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"gapless.dev/gapless/internal/follow/choose"
)

// hostKeys are the keys that a known_hosts file has for one host. The file is read from memory: a Secret is not written to disk.
type hostKeys struct {
	keys []ssh.PublicKey
	name string
}

func knownKeys(lines []byte, address, name string) (hostKeys, error) {
	h := hostKeys{name: name}
	if len(bytes.TrimSpace(lines)) == 0 {
		return h, failed(choose.Denied, "the host's own key is not known, so that anybody could be it: put the output of ssh-keyscan into the Secret as known_hosts")
	}
	normal := knownhosts.Normalize(address)
	for rest := lines; len(bytes.TrimSpace(rest)) > 0; {
		marker, hosts, key, _, more, err := ssh.ParseKnownHosts(rest)
		if err != nil {
			if len(bytes.TrimSpace(more)) == 0 && onlyComments(rest) {
				break
			}
			return h, failed(choose.Denied, "known_hosts of the Secret is not what ssh-keyscan prints")
		}
		if marker == "" && slices.ContainsFunc(hosts, func(one string) bool { return isHost(one, normal) }) {
			h.keys = append(h.keys, key)
		}
		rest = more
	}
	if len(h.keys) == 0 {
		return h, failed(choose.Refused, "the host of %s is not in known_hosts: put the output of ssh-keyscan into the Secret", name)
	}
	return h, nil
}

func onlyComments(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// isHost compares an entry, which may be hashed, with an address.
func isHost(entry, normal string) bool {
	rest, hashed := strings.CutPrefix(entry, "|1|")
	if !hashed {
		return entry == normal
	}
	salt, sum, _ := strings.Cut(rest, "|")
	key, err := base64.StdEncoding.DecodeString(salt)
	want, err2 := base64.StdEncoding.DecodeString(sum)
	if err != nil || err2 != nil {
		return false
	}
	mac := hmac.New(sha1.New, key)
	mac.Write([]byte(normal))
	return hmac.Equal(mac.Sum(nil), want)
}

// check is called with the key that the host has shown.
func (h hostKeys) check(_ string, _ net.Addr, shown ssh.PublicKey) error {
	for _, key := range h.keys {
		if bytes.Equal(key.Marshal(), shown.Marshal()) {
			return nil
		}
	}
	return failed(choose.Refused, "the host of %s has another key than known_hosts says: somebody may stand in between", h.name)
}

// algorithms are those of the keys, so that the host shows one of them and not another of its own.
func (h hostKeys) algorithms() []string {
	var all []string
	for _, key := range h.keys {
		if key.Type() == ssh.KeyAlgoRSA {
			all = append(all, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		all = append(all, key.Type())
	}
	return all
}
