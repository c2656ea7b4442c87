package app

import "gapless.dev/gapless/internal/gate/spec"

// events are what can be told of.
var events = []string{"started", "step", "waiting", "promoted", "aborting", "aborted", "held"}

var notifyShape = shape{
	opt("url", "Where messages are posted to.", "", textLike(urlText)),
	opt("urlKey", "The file with the URL, in the folder of keys, where the URL itself is a secret, as Slack's are.", "", textLike(fileName)),
	opt("template", "generic, the event as JSON, or slack, a message for Slack and what is compatible with it.", "generic", oneOf("generic", "slack")),
	opt("on", "What is told of.", "[started, waiting, promoted, aborting, held]", listOf(oneOf(events...))),
	opt("key", "The file with the key that messages are signed with, in the folder of keys.", "not signed", textLike(fileName)),
	opt("header", "Sent with each message.", "", namesOf(orNothing(anyText()))),
	opt("timeout", "Of one try.", "10s", aDuration()),
}

func notifications(o object) []spec.Notify {
	list, ok := o.get("notify")
	if !ok {
		return nil
	}
	var all []spec.Notify
	for _, item := range list.items() {
		f := item.object(notifyShape)
		n := spec.Notify{
			URL:    f.like("url", urlText, "is not an address", "write https://HOST/PATH"),
			URLKey: f.like("urlKey", fileName, "is not the name of a file", "write it without a path"),
			Key:    f.like("key", fileName, "is not the name of a file", "write it without a path"), Timeout: f.duration("timeout", 0),
		}
		_, given := f.get("url")
		_, named := f.get("urlKey")
		if given == named {
			item.node = nil
			item.wrong("needs exactly one of url and urlKey", "write url: https://HOST/PATH, or urlKey: and the name of a file that holds it")
		}
		if t, ok := f.get("template"); ok {
			n.Template, _ = t.oneOf("generic", "slack")
		}
		if on, ok := f.get("on"); ok {
			for _, one := range on.items() {
				if word, ok := one.oneOf(events...); ok {
					n.On = append(n.On, word)
				}
			}
		}
		n.Header, _ = f.texts("header")
		all = append(all, n)
	}
	if len(all) > 8 {
		list.wrong("more than 8 are told", "take some out")
	}
	return all
}
