package bypass

import "testing"

// needNone are ways that are not tried, and why.
var needNone = []struct{ way, reason string }{
	{"names that change hands while requests race", "tests/engine has the races, for twelve seconds each"},
	{"names that change hands while the plugin restarts", "the engine looks a name up at once after the verdict, and a new process takes longer to give the next; tests/faults restarts it in the middle of a create"},
	{"paths with //, /./ or /../", "the engine redirects them and no handler gets them"},
	{"methods in small letters", "the engine has no route for them"},
	{"a key with bytes that are no UTF-8", "they are read as U+FFFD, which folds to no letter of a key"},
	{"a length that is too short", "what lies behind it is a request of its own, and judged as one"},
	{"a content type that cannot be read", "the engine refuses such a body itself"},
	{"devices or capabilities by an update", "the engine takes limits and restart policy from an update, and nothing else"},
	{"programs in containers that run since before the plugin", "it asks about starts: docker stig authz sweep lists what runs"},
	{"a restart policy that is older than the plugin", "the engine asks nobody at its own start: docker stig authz sweep lists what runs"},
	{"tasks of a service that is older than the plugin", "swarm asks nobody: docker stig authz sweep lists what runs"},
	{"joining a swarm, unlocking one", "the same row of the table of routes as making one, held by its unit tests"},
	{"docker cp, exec and an entrypoint that change a signed container", "outside what a signature says, as the manual does"},
	{"a tmpfs that is bound, moved or shared", "one list of options for all, held by its unit tests; runtimes refuse most of them"},
	{"a remount by a tmpfs of a service", "its options are two flags to the engine, which refuses the rest; held by unit tests"},
	{"a log to what listens on the host alone", "an address of the network, as the manual says"},
	{"keeping the engine from telling of a container", "nothing runs by it: TestHeldContainer has what becomes of a sweep"},
	{"containerd's own API", "its socket is root's, and the engine is not asked"},
	{"a plain TCP listener", "the same handlers; docker stig authz status does not call it enforced"},
	{"a bind of /proc/1/root", "engines refuse a source that is such a link"},
}

func TestWaysWithoutAttempt(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, a := range attempts {
		if known[a.name] {
			t.Errorf("two attempts are called %q", a.name)
		}
		known[a.name] = true
		if (a.about == nil) == (a.silent == "") {
			t.Errorf("%q has to say what its refusal is about, or why there is none", a.name)
		}
	}
	for _, n := range needNone {
		if n.reason == "" || known[n.way] {
			t.Errorf("%q needs a reason, and is none of the attempts", n.way)
		}
		t.Logf("not tried: %s: %s", n.way, n.reason)
	}
}
