package app

import (
	"regexp"
	"strings"
	"time"

	"gapless.dev/gapless/internal/follow/choose"
)

// A Follow has the tags of a git repository decide which version is wanted.
type Follow struct {
	// Repository is https://HOST/PATH or ssh://USER@HOST/PATH; on one machine it may be a folder.
	Repository string
	// Rule says which tags are followed.
	Rule choose.Rule
	// Every is the time between two looks. Default a minute.
	Every time.Duration
	// Keys, if there are any, must have signed a tag: OpenPGP in ASCII armor, or SSH lines.
	Keys []string
	// Secret names the Secret with the credentials, on a cluster.
	Secret string
	// Insecure lets repository and registry be reached over plain HTTP.
	Insecure bool
	// Build is run in a clean tree of the tag, on one machine; Path is the folder of the tree that stands for that of the app file.
	Build []string
	Path  string
}

var followShape = shape{
	must("repository", "Where the tags are: https://HOST/PATH or ssh://USER@HOST/PATH. On one machine it may be a folder, such as a dot.", anyText()),
	opt("tags", "A pattern with one *, which stands for the version, such as api-v*.", "v*, and tags without the v", textLike(tagPattern)),
	opt("versions", "A range, such as ~2.1 or >=1.2 <3. Pre-releases are only taken by a range that names one, such as >=2.0.0-0.", "every release", anyText()),
	opt("every", "The time between two looks, a second at least.", "1m", aDuration()),
	opt("keys", "Public keys of which one must have signed the tag: OpenPGP in ASCII armor, or a line of an authorized_keys file.", "signatures are not asked for", words()),
	opt("secret", "The Secret with the credentials, on a cluster.", "none", textLike(subdomain)),
	opt("insecure", "Lets the repository and the registry be reached over plain HTTP.", "false", aFlag()),
	opt("build", "The command that makes a program of a tag's tree, on one machine. {version} is replaced.", "nothing is built", words()),
	opt("path", "The folder of the repository that the folder of this file stands for, on one machine.", "the root", anyText()),
}

var (
	tagPattern = regexp.MustCompile(`^[^*\s~^:?\[\\]*\*[^*\s~^:?\[\\]*$`)
	password   = regexp.MustCompile(`^[a-z]+://[^/@]*:[^/@]*@|^https?://[^/@]*@`)
)

func following(o object) *Follow {
	v, ok := o.get("follow")
	if !ok {
		return nil
	}
	f := v.object(followShape)
	out := &Follow{
		Repository: f.text("repository", ""), Rule: choose.Rule{Tags: f.text("tags", ""), Versions: f.text("versions", "")},
		Every: f.positive("every", time.Minute), Keys: f.words("keys"), Secret: f.like("secret", subdomain, "is not the name of a Secret", subdomainRule),
		Build: f.words("build"), Path: f.text("path", ""),
	}
	if b, ok := f.get("insecure"); ok {
		out.Insecure, _ = b.flag()
	}
	repository, ok := f.get("repository")
	switch {
	case !ok:
		f.missing("repository", "write where the tags are, such as repository: https://git.example.org/shop/api.git")
	case password.MatchString(out.Repository):
		repository.node = nil // it is not shown again
		repository.wrong("holds a name or password", "write it without, and put them into the Secret")
	case strings.HasPrefix(out.Repository, "http://") && !out.Insecure:
		repository.wrong("is not encrypted, so that anybody on the way could put a version of their own in its place", "write https://, or insecure: true if that is meant")
	}
	if tags, ok := f.get("tags"); ok && !tagPattern.MatchString(out.Rule.Tags) {
		tags.wrong("is not a pattern", "write one *, which stands for the version, such as v*")
	} else if versions, ok := f.get("versions"); ok {
		if err := out.Rule.Check(); err != nil {
			versions.wrong("is not a range", "write a range, such as ~2.1 or >=1.2 <3")
		}
	}
	for i, key := range out.Keys {
		if strings.Contains(key, "PRIVATE KEY") {
			list, _ := f.get("keys")
			item := list.items()[i]
			item.node = nil
			item.wrong("is a private key", "give the public one, and make a new pair, since this one has been shown")
		}
	}
	if p, ok := f.get("path"); ok && (strings.HasPrefix(out.Path, "/") || strings.Contains("/"+out.Path+"/", "/../")) {
		p.wrong("leads out of the repository", "write a folder in it, such as services/api")
	}
	return out
}
