package choose

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"pgregory.net/rapid"
)

func tag(name, commit string) Tag { return Tag{Name: name, Commit: commit} }

// tags reads "v1.0.0 a, v2.0.0 b".
func tags(text string) []Tag {
	var all []Tag
	for part := range strings.SplitSeq(text, ",") {
		if f := strings.Fields(part); len(f) == 2 {
			all = append(all, tag(f[0], f[1]))
		}
	}
	return all
}

func started(name, commit, version string) Memory {
	t := tag(name, commit)
	return Memory{Started: &t, Version: version}
}

func TestChoose(t *testing.T) {
	yes := func(m Memory, name, commit string) Memory {
		y := tag(name, commit)
		m.Yes = &y
		return m
	}
	awaits := func(m Memory, name, commit string) Memory {
		a := tag(name, commit)
		m.Awaited = &a
		return m
	}
	none := Memory{}
	v200 := started("v2.0.0", "b", "2.0.0")
	v210 := started("v2.1.0", "c", "2.1.0")
	for name, c := range map[string]struct {
		rule   Rule
		tags   string
		memory Memory
		live   string
		reason Reason
		tag    string
		says   string
	}{
		"no tags":                         {Rule{}, "", none, "", NoTag, "", "has no tags yet"},
		"the first":                       {Rule{}, "v1.0.0 a", none, "", Start, "v1.0.0", ""},
		"the highest":                     {Rule{}, "v1.9.0 a, v1.10.0 b, v1.2.0 c", none, "", Start, "v1.10.0", ""},
		"without a v":                     {Rule{}, "1.0.0 a, v0.9.0 b", none, "", Start, "1.0.0", ""},
		"a newer one":                     {Rule{}, "v2.0.0 b, v2.1.0 c", v200, "2.0.0", Start, "v2.1.0", ""},
		"nothing new":                     {Rule{}, "v1.0.0 a, v2.0.0 b", v200, "2.0.0", UpToDate, "v2.0.0", ""},
		"an older one arrives":            {Rule{}, "v2.0.0 b, v1.9.9 z", v200, "2.0.0", UpToDate, "v2.0.0", ""},
		"a pre-release":                   {Rule{}, "v2.0.0 b, v3.0.0-rc.1 d", v200, "2.0.0", UpToDate, "v2.0.0", ""},
		"only pre-releases":               {Rule{}, "v3.0.0-rc.1 d", none, "", NoTag, "", "1 pre-releases"},
		"pre-releases are asked for":      {Rule{Versions: ">=2.0.0-0"}, "v2.0.0 b, v3.0.0-rc.1 d, v3.0.0-beta.9 e", v200, "2.0.0", Start, "v3.0.0-rc.1", ""},
		"the release after its candidate": {Rule{Versions: ">=2.0.0-0"}, "v3.0.0-rc.1 d, v3.0.0 e", started("v3.0.0-rc.1", "d", "3.0.0-rc.1"), "", Start, "v3.0.0", ""},
		"a range":                         {Rule{Versions: "~2.0"}, "v2.0.5 b, v2.1.0 c, v3.0.0 d", v200, "2.0.0", Start, "v2.0.5", ""},
		"nothing in the range":            {Rule{Versions: "^4"}, "v2.0.5 b, v2.1.0 c", none, "", NoTag, "", "none of the 2 tags is followed: 2 outside of the range"},
		"a pattern":                       {Rule{Tags: "api-v*"}, "api-v1.0.0 a, web-v9.0.0 b, v8.0.0 c", none, "", Start, "api-v1.0.0", ""},
		"a pattern with an end":           {Rule{Tags: "v*-prod"}, "v1.0.0-prod a, v2.0.0 b, v2.0.0-rc.1-prod c", none, "", Start, "v1.0.0-prod", ""},
		"no version":                      {Rule{}, "latest a, v1 b, v1.2 c, nightly-2026 d, v01.2.3 e, v1.2.3.4 f", none, "", NoTag, "", "6 without a version of three numbers"},
		"build metadata":                  {Rule{}, "v2.0.0 b, v2.1.0+build.7 c", v200, "2.0.0", UpToDate, "v2.0.0", ""},
		"only metadata":                   {Rule{}, "v2.1.0+build.7 c", none, "", NoTag, "", "with a +"},
		"one tag, not followed":           {Rule{}, "latest a", none, "", NoTag, "", "the one tag is not followed"},

		"live already, by hand":                  {Rule{}, "v2.0.0 b", none, "2.0.0", UpToDate, "v2.0.0", "is live already"},
		"a newer one than what came by hand":     {Rule{}, "v2.0.0 b, v2.1.0 c", none, "2.0.0", Start, "v2.1.0", ""},
		"what came by hand is above all tags":    {Rule{}, "v2.0.0 b", none, "3.0.0", Downgrade, "v2.0.0", "came by no tag"},
		"by hand above what was started":         {Rule{}, "v2.0.0 b, v2.1.0 c", v200, "3.0.0", Downgrade, "v2.1.0", ""},
		"a yes to less than what came by hand":   {Rule{}, "v2.0.0 b", yes(none, "v2.0.0", "b"), "3.0.0", Start, "v2.0.0", ""},
		"by hand below what was started":         {Rule{}, "v2.0.0 b, v2.1.0 c", v210, "1.0.0", UpToDate, "v2.1.0", ""},
		"what is live is no version":             {Rule{}, "v2.0.0 b", none, "latest", Start, "v2.0.0", ""},
		"a tag that moved":                       {Rule{}, "v2.0.0 x", v200, "2.0.0", Moved, "v2.0.0", "needs"},
		"a tag that moved, and a newer one":      {Rule{}, "v2.0.0 x, v2.1.0 c", v200, "2.0.0", Start, "v2.1.0", ""},
		"a yes to it":                            {Rule{}, "v2.0.0 x", yes(v200, "v2.0.0", "x"), "2.0.0", Start, "v2.0.0", "said yes"},
		"it moves again after the yes":           {Rule{}, "v2.0.0 y", yes(v200, "v2.0.0", "x"), "2.0.0", Moved, "v2.0.0", ""},
		"a yes is used up":                       {Rule{}, "v2.0.0 x", yes(started("v2.0.0", "x", "2.0.0"), "v2.0.0", "x"), "2.0.0", UpToDate, "v2.0.0", ""},
		"it moves while its image is awaited":    {Rule{}, "v2.1.0 x", awaits(v200, "v2.1.0", "c"), "2.0.0", Moved, "v2.1.0", "when it was chosen"},
		"a newer one while another is awaited":   {Rule{}, "v2.1.0 c, v2.1.1 d", awaits(v200, "v2.1.0", "c"), "2.0.0", Start, "v2.1.1", ""},
		"a second name for the same commit":      {Rule{}, "2.0.0 b, v2.0.0 b", v200, "2.0.0", UpToDate, "v2.0.0", ""},
		"renamed":                                {Rule{}, "2.0.0 b", v200, "2.0.0", UpToDate, "2.0.0", "was started as v2.0.0"},
		"two tags say the same":                  {Rule{}, "2.1.0 x, v2.1.0 c", v200, "2.0.0", Ambiguous, "2.1.0", "both say 2.1.0"},
		"two tags say the same, a yes to one":    {Rule{}, "2.1.0 x, v2.1.0 c", yes(v200, "v2.1.0", "c"), "2.0.0", Start, "v2.1.0", ""},
		"a second tag for what is live":          {Rule{}, "2.0.0 x, v2.0.0 b", v200, "2.0.0", UpToDate, "v2.0.0", ""},
		"two say the same below what is live":    {Rule{}, "1.0.0 x, v1.0.0 y, v2.0.0 b", v200, "2.0.0", UpToDate, "v2.0.0", ""},
		"deleted while live":                     {Rule{}, "v2.0.0 b", v210, "2.1.0", Downgrade, "v2.0.0", "is gone"},
		"deleted while live, a yes":              {Rule{}, "v2.0.0 b", yes(v210, "v2.0.0", "b"), "2.1.0", Start, "v2.0.0", ""},
		"deleted after it was aborted":           {Rule{}, "v2.0.0 b", v210, "2.0.0", UpToDate, "v2.0.0", "its tag is gone"},
		"all deleted":                            {Rule{}, "", v210, "2.1.0", NoTag, "", "v2.1.0 stays"},
		"aborted, and still the highest":         {Rule{}, "v2.0.0 b, v2.1.0 c", v210, "2.0.0", UpToDate, "v2.1.0", "did not stay: 2.0.0 is wanted"},
		"a fix after an abort":                   {Rule{}, "v2.0.0 b, v2.1.0 c, v2.1.1 d", v210, "2.0.0", Start, "v2.1.1", ""},
		"an older branch after an abort":         {Rule{}, "v2.0.0 b, v2.0.1 e, v2.1.0 c", v210, "2.0.0", UpToDate, "v2.1.0", ""},
		"the range was made narrower":            {Rule{Versions: "~2.0"}, "v2.0.0 b, v2.1.0 c", v210, "2.1.0", Downgrade, "v2.0.0", ""},
		"a yes to what is not there":             {Rule{}, "v2.0.0 b", yes(v200, "v9.0.0", "z"), "2.0.0", UpToDate, "v2.0.0", ""},
		"a yes to what is not followed":          {Rule{Versions: "~2"}, "v2.0.0 b, v3.0.0 z", yes(v200, "v3.0.0", "z"), "2.0.0", UpToDate, "v2.0.0", ""},
		"a range that is none":                   {Rule{Versions: "newest"}, "v2.0.0 b", none, "", BadRule, "", "write a range"},
		"a pattern without a star":               {Rule{Tags: "v1"}, "v1 b", none, "", BadRule, "", "write one *"},
		"a name as long as a page":               {Rule{}, "v1.0.0-" + strings.Repeat("a", 5000) + " b", none, "", NoTag, "", "named otherwise"},
		"a name with a path":                     {Rule{Tags: "*"}, "../../etc/passwd b, v1.0.0/../2.0.0 c, 1.0.0;rm b", none, "", NoTag, "", "3 without"},
		"a number that no machine can hold":      {Rule{}, "v99999999999999999999.0.0 b", none, "", NoTag, "", "without"},
		"a name that is YAML, shell or terminal": {Rule{}, "v1.0.0\x1b[2J b, $(v1.0.0) c", none, "", NoTag, "", "2 without"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Choose(c.rule, tags(c.tags), c.memory, c.live)
			if got.Reason != c.reason || got.Tag.Name != c.tag && c.tag != "" || c.says != "needs" && !strings.Contains(got.Message, c.says) {
				t.Errorf("got %+v, want %s %s %q", got, c.reason, c.tag, c.says)
			}
			if strings.ContainsRune(got.Message, 0x1b) || len(got.Message) > 600 {
				t.Errorf("the message carries what the repository wrote: %q", got.Message)
			}
		})
	}
}

// TestChoose_NeverGoesBackByItself: whatever a repository says, what starts without a yes is above everything that was started before.
func TestChoose_NeverGoesBackByItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.Custom(func(t *rapid.T) string {
			text := fmt.Sprintf("%d.%d.%d", rapid.IntRange(0, 2).Draw(t, "major"), rapid.IntRange(0, 2).Draw(t, "minor"), rapid.IntRange(0, 2).Draw(t, "patch"))
			return text + rapid.SampledFrom([]string{"", "", "-rc.1", "-0", "+b"}).Draw(t, "more")
		})
		rule := Rule{Versions: rapid.SampledFrom([]string{"", "~1", ">=0.0.0-0", "<2"}).Draw(t, "rule")}
		memory, highest := Memory{}, (*semver.Version)(nil)
		commits := map[string]string{}
		for range rapid.IntRange(1, 12).Draw(t, "looks") {
			var all []Tag
			for _, v := range rapid.SliceOfN(version, 0, 6).Draw(t, "tags") {
				name := rapid.SampledFrom([]string{"v", ""}).Draw(t, "prefix") + v
				all = append(all, tag(name, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "commit")))
			}
			seen := map[string]bool{}
			distinct := all[:0]
			for _, one := range all {
				if !seen[one.Name] {
					seen[one.Name] = true
					distinct = append(distinct, one)
				}
			}
			got := Choose(rule, distinct, memory, "")
			mixed := append([]Tag(nil), distinct...)
			rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
			if again := Choose(rule, mixed, memory, ""); again != got {
				t.Fatalf("the order of the tags matters: %+v, %+v", got, again)
			}
			if !got.Starts() {
				continue
			}
			v, err := semver.StrictNewVersion(got.Version)
			if err != nil || highest != nil && !v.GreaterThan(highest) {
				t.Fatalf("%+v starts after %v", got, highest)
			}
			if before, known := commits[got.Version]; known && before != got.Tag.Commit {
				t.Fatalf("%+v starts, and was %s before", got, before)
			}
			if a := memory.Awaited; a != nil && a.Name == got.Tag.Name && a.Commit != got.Tag.Commit {
				t.Fatalf("%+v starts, and %+v was awaited", got, *a)
			}
			if rapid.Bool().Draw(t, "its image is there") {
				commits[got.Version], highest = got.Tag.Commit, v
				memory = Memory{Started: &got.Tag, Version: got.Version}
			} else {
				memory.Awaited = &got.Tag
			}
		}
	})
}

func TestChoose_TakesTenThousandTags(t *testing.T) {
	var all []Tag
	for i := range 10_000 {
		all = append(all, tag(fmt.Sprintf("v1.%d.%d", i/100, i%100), fmt.Sprintf("%040d", i)))
	}
	if got := Choose(Rule{}, all, Memory{}, ""); got.Tag.Name != "v1.99.99" {
		t.Errorf("got %+v", got)
	}
}

func FuzzChoose(f *testing.F) {
	f.Add("v1.0.0", "v*", "~1")
	f.Add("release/1.0.0", "release/*", ">=1.0.0-0 <2 || 3")
	f.Fuzz(func(t *testing.T, name, pattern, versions string) {
		got := Choose(Rule{Tags: pattern, Versions: versions}, []Tag{tag(name, "a")}, Memory{}, "")
		if got.Starts() && (got.Tag.Name != name || got.Version == "" || strings.ContainsAny(got.Version, " /\\\x00\n+")) {
			t.Fatalf("%+v", got)
		}
	})
}
