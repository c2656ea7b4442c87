package app

import "regexp"

// fileShape is the file with several apps; a file with one holds the fields of the app itself.
var fileShape = shape{
	opt("bind", "The address that the ports are opened on, on one machine: 0.0.0.0 for everybody.", "127.0.0.1", anyText()),
	opt("group", "What belongs together: the apps are rolled in the order of their after, and one that fails takes the others back. The name is the short form.", "", eitherOf(textLike(label), fieldsOf("group", groupShape))),
	opt("apps", "Several services in one file, each with the fields of an app.", "", listOf(appForm)),
}

var groupShape = shape{
	opt("name", "Marks what the file has put into a cluster, so that an app that leaves the file leaves the cluster.", "", textLike(label)),
	opt("failed", "When one app is taken back: back takes back those that were rolled before it, too; hold lets them stand. Those after it never begin.", "back", oneOf("back", "hold")),
}

var appForm = form{kind: kindFields, name: "app", fields: appShape, oneOf: []string{"command", "image"}}

// appShape is one service.
var appShape = shape{
	must("name", "What the service is called: in commands, host names, reports, and of all that is made for it.", textLike(label)),
	opt("image", "The image that a cluster runs; {version} is replaced. Long form: with command and args in place of the image's own.", "", eitherOf(anyText(), fieldsOf("image", imageShape))),
	opt("command", "The program that one machine runs, and its arguments, without a shell. {version}, {port}, {port.NAME} and {config} are replaced.", "", words()),
	opt("dir", "The folder that command runs in, on one machine.", "the folder of this file", anyText()),
	must("version", "The version to begin with. Later ones come by gapless deploy, by a change of this line, or by follow.", textLike(versionText)),
	opt("replicas", "How many instances serve; a range is scaled by use of the processor, on a cluster.", "1", eitherOf(wholeFrom(0, MaxReplicas), fieldsOf("replicas", replicasShape))),
	opt("ports", "The port that clients use, by name. The service listens on the one that it finds in PORT (the first) and PORT_NAME.", "{http: 8080}", namesOf(eitherOf(wholeFrom(0, 65535), fieldsOf("port", portShape)))),
	opt("route", "Which requests are the service's. NAME.localhost always is, on one machine.", "all of its port", fieldsOf("route", routeShape)),
	opt("sticky", "Keeps a client on one instance by a cookie, on one machine: true, or the name of the cookie.", "false", eitherOf(aFlag(), textLike(cookieName))),
	opt("tls", "The certificate: files in PEM form on one machine, a Secret on a cluster.", "plain HTTP", fieldsOf("tls", tlsShape)),
	opt("health", "How it is found out whether an instance is well.", "{ready: {tcp: true}}", fieldsOf("health", healthShape)),
	opt("stop", "The time that an instance has to stop in.", "{drain: 5s, grace: 30s}", fieldsOf("stop", stopShape)),
	opt("resources", "What an instance needs, on a cluster. A processor is never capped unless cpuLimit says so.", "", fieldsOf("resources", resourcesShape)),
	opt("env", "Variables of the environment. One whose value is {secret, key} comes from a Secret on a cluster, and from Gapless' own environment on one machine.", "", namesOf(orNothing(eitherOf(anyText(), fieldsOf("secret", secretShape))))),
	opt("config", "Files by name, in the folder that the service finds in GAPLESS_CONFIG: their text, or {file} to read it from. A change is a new version.", "", namesOf(eitherOf(anyText(), fieldsOf("configFile", configShape)))),
	opt("metrics", "Where Prometheus finds the service's metrics, on a cluster: a path, or {path, port}.", "", eitherOf(textLike(pathText), fieldsOf("metrics", metricsShape))),
	opt("labels", "Labels of the pods, by which they are selected, on a cluster. They cannot change later.", "{app.kubernetes.io/name: NAME}", namesOf(anyText())),
	opt("account", "A ServiceAccount that is there already, on a cluster.", "one is made, without rights", textLike(subdomain)),
	opt("kubernetes", "What only Kubernetes knows, on a cluster: added to the pod or the container as it stands.", "", fieldsOf("kubernetes", kubernetesShape)),
	opt("limits", "What the proxy accepts, on one machine.", "", fieldsOf("limits", limitsShape)),
	opt("helpers", "Processes beside each instance (sidecars): started before it, stopped after it.", "", listOf(form{kind: kindFields, name: "helper", fields: helperShape, oneOf: []string{"command", "image"}})),
	opt("after", "Apps of this file that have to stand in their new version before this one begins.", "", listOf(textLike(label))),
	opt("strategy", "How a version takes the place of another: exactly one of the four.", "{rolling: {}}", fieldsOf("strategy", strategyShape)),
	opt("gates", "Who is asked whether a rollout may go on, each exactly one of probe, prometheus, webhook, job and window.", "none", listOf(form{kind: kindFields, name: "gate", fields: gateShape, oneOf: []string{"probe", "prometheus", "webhook", "job", "window"}})),
	opt("notify", "Who is told what happens.", "nobody", listOf(form{kind: kindFields, name: "notify", fields: notifyShape, oneOf: []string{"url", "urlKey"}})),
	opt("deadline", "How long a rollout may make no progress before it is taken back, or never.", "10m", eitherOf(aDuration(), oneOf("never"))),
	opt("follow", "A git repository whose tags decide which version is wanted.", "people decide", fieldsOf("follow", followShape)),
}

var imageShape = shape{
	must("name", "The image; {version} is replaced.", anyText()),
	opt("command", "In place of the image's entry point.", "", words()),
	opt("args", "In place of the image's arguments.", "", words()),
	opt("container", "What the container is called.", "app", textLike(label)),
}

var replicasShape = shape{
	opt("min", "The fewest; so many run on one machine.", "2", wholeFrom(1, MaxReplicas)),
	must("max", "The most.", wholeFrom(1, MaxReplicas)),
	opt("cpu", "The use of the processors asked for, in percent, that is aimed at.", "70", wholeFrom(1, 100)),
}

var portShape = shape{
	opt("port", "The port that clients use.", "no client does: it is for checks and metrics", wholeFrom(0, 65535)),
	opt("target", "The port that the container listens on.", "the same", wholeFrom(1, 65535)),
}

var routeShape = shape{
	opt("host", "The name of the host, such as api.example.org.", "any", textLike(hostText)),
	opt("path", "What paths begin with, such as /v1/users.", "/", textLike(prefixText)),
	opt("router", "What leads the requests to the service on a cluster.", "ingress, where a host or path is given", oneOf(Routers...)),
	opt("class", "The class of the Ingress.", "the cluster's default", anyText()),
	opt("gateway", "The Gateway, as NAME or NAMESPACE/NAME, for gatewayapi and istio.", "", textLike(gatewayName)),
	opt("entryPoints", "The entry points, for traefik.", "Traefik's default", listOf(anyText())),
}

// Routers that a route can name.
var Routers = []string{"ingress", "gatewayapi", "traefik", "istio"}

var tlsShape = shape{
	opt("cert", "The file with the certificate, in PEM form.", "", anyText()),
	opt("key", "The file with the private key, in PEM form.", "", anyText()),
	opt("secret", "The Secret with both, on a cluster.", "", textLike(subdomain)),
}

var healthShape = shape{
	opt("ready", "Whether an instance may be sent requests: a path, or the long form.", "{tcp: true}", eitherOf(textLike(pathText), fieldsOf("check", checkShape))),
	opt("live", "Whether it has to be restarted. It must depend on nothing but the process itself.", "not asked", eitherOf(textLike(pathText), fieldsOf("check", checkShape))),
	opt("startup", "How long an instance may take to be ready for the first time. Until then liveness is not asked.", "60s", aDuration()),
}

// checkShape has the meaning of the fields of Kubernetes. Exactly one of path, tcp and exec is given.
var checkShape = shape{
	opt("path", "Asked by GET; 200 to 399 is well.", "", textLike(pathText)),
	opt("headers", "Sent with the GET.", "", namesOf(orNothing(anyText()))),
	opt("port", "The name of the port that is asked.", "the first", textLike(portName)),
	opt("tcp", "Well when the port accepts a connection.", "", aFlag()),
	opt("exec", "A program and its arguments; exit code 0 is well.", "", words()),
	opt("initialDelay", "The time before the first check.", "0s", aDuration()),
	opt("period", "The time from one check to the next.", "1s for ready, 10s for live", aDuration()),
	opt("timeout", "How long an answer may take.", "1s", aDuration()),
	opt("failureThreshold", "So many failures in a row are one.", "3", wholeFrom(1, 1000)),
	opt("successThreshold", "So many successes in a row are one.", "1", wholeFrom(1, 1000)),
}

var stopShape = shape{
	opt("drain", "How long an instance goes on serving when it is told to stop, until nobody sends to it any more.", "5s", aDuration()),
	opt("grace", "The time from the order to stop until it is killed. A service with kit needs 6s of it on one machine.", "30s", aDuration()),
}

var resourcesShape = shape{
	opt("cpu", "Processors, such as 250m or 2.", "", textLike(quantity)),
	opt("memory", "Memory, such as 256Mi. It is the limit, too, unless memoryLimit is higher.", "", textLike(quantity)),
	opt("cpuLimit", "More processors are not given, even if they are idle.", "none", textLike(quantity)),
	opt("memoryLimit", "With more memory the instance is killed.", "memory", textLike(quantity)),
}

var secretShape = shape{
	must("secret", "The name of the Secret.", textLike(subdomain)),
	must("key", "The key in it.", textLike(secretKey)),
}

var configShape = shape{
	must("file", "The file to read, seen from the folder of this file.", anyText()),
}

var metricsShape = shape{
	opt("path", "Where they are.", "/metrics", textLike(pathText)),
	opt("port", "The name of the port.", "the first", textLike(portName)),
}

// kubernetesShape is the way out: lists are joined by the names of their items, and all else takes the place of what is rendered.
var kubernetesShape = shape{
	opt("pod", "Fields of a PodSpec, such as volumes.", "", raw()),
	opt("container", "Fields of the Container, such as volumeMounts.", "", raw()),
}

var limitsShape = shape{
	opt("body", "The longest body of a request.", "no limit", aSize()),
	opt("header", "The longest header of a request.", "1MiB", aSize()),
	opt("timeout", "How long the first byte of an answer may take, and while the body of a request comes its next byte.", "60s", aDuration()),
	opt("inFlight", "How many requests at once, of the whole app.", "10000", wholeFrom(1, 1_000_000)),
}

var helperShape = shape{
	must("name", "What the helper is called.", textLike(label)),
	opt("image", "The image that a cluster runs, as that of an app.", "", eitherOf(anyText(), fieldsOf("image", imageShape))),
	opt("command", "The program that one machine runs, as that of an app.", "", words()),
	opt("env", "Its variables.", "", namesOf(orNothing(eitherOf(anyText(), fieldsOf("secret", secretShape))))),
	opt("ready", "Whether it is ready. The app is started after that.", "when it runs", eitherOf(textLike(pathText), fieldsOf("check", checkShape))),
	opt("resources", "What it needs, on a cluster.", "", fieldsOf("resources", resourcesShape)),
}

var strategyShape = shape{
	opt("recreate", "Stop all, start all. There is a gap in between.", "", orNothing(fieldsOf("nothing", nil))),
	opt("rolling", "A few instances at a time.", "", orNothing(fieldsOf("rolling", rollingShape))),
	opt("blueGreen", "All of the new beside all of the old, then one switch.", "", orNothing(fieldsOf("blueGreen", blueGreenShape))),
	opt("canary", "A growing share of the traffic, step by step.", "", orNothing(fieldsOf("canary", canaryShape))),
}

var rollingShape = shape{
	opt("maxSurge", "So many instances more than replicas.", "1", wholeFrom(0, MaxReplicas)),
	opt("maxUnavailable", "So many instances less than replicas.", "0", wholeFrom(0, MaxReplicas)),
}

var blueGreenShape = shape{
	opt("switch", "When the traffic is switched: as soon as all of the new is ready, or when somebody promotes.", "automatic", oneOf("automatic", "manual")),
	opt("holdBack", "How long the old stands without traffic after the switch. An undo within it is instant.", "30s", aDuration()),
}

var canaryShape = shape{
	opt("steps", "The steps in order. After the last one the new version gets all traffic.", "10, 25 and 50 percent, 30s each", listOf(fieldsOf("step", stepShape))),
}

var stepShape = shape{
	opt("weight", "The share of the traffic in percent that the new version gets.", "that of the step before", wholeFrom(0, 100)),
	opt("match", "Requests that go to the new version beside the weight: all of the headers and cookies must agree; or a share of the users.", "", fieldsOf("match", matchShape)),
	opt("mirror", "The share of requests in percent that the new version gets a copy of; the answers are dropped.", "0", wholeFrom(0, 100)),
	opt("pause", "How long the step lasts at least, or manual: until somebody promotes.", "0s", eitherOf(aDuration(), oneOf("manual"))),
}

var matchShape = shape{
	opt("header", "Headers and their values.", "", namesOf(orNothing(anyText()))),
	opt("cookie", "Cookies and their values.", "", namesOf(orNothing(anyText()))),
	opt("users", "A share of the users in percent, in the place of header and cookie. Each stays with the version of the first answer, by a cookie.", "", wholeFrom(1, 100)),
}

// Texts that more than one place knows.
var (
	subdomain   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	secretKey   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)
	quantity    = regexp.MustCompile(`^[0-9]{1,12}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$`)
	gatewayName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
)
