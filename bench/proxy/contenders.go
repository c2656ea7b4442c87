package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"gapless.dev/gapless/internal/app"
	"gapless.dev/gapless/internal/proxy"
	"gapless.dev/gapless/internal/rollout"
)

// A contender starts a proxy on addr before the upstream up. Its files go to dir.
type contender struct {
	name  string
	start func(dir, addr, up string) (stop func(), err error)
}

// Each has kept-alive connections to the upstream, all processors, no access log, and sends X-Forwarded-For; otherwise its defaults.
var contenders = []contender{
	{"gapless", func(dir, addr, up string) (func(), error) { return startSelf(addr, "gapless", addr, up) }},
	{"caddy", func(dir, addr, up string) (func(), error) {
		os.Setenv("XDG_CONFIG_HOME", dir) // it keeps its last configuration, and must not do so in the user's home
		os.Setenv("XDG_DATA_HOME", dir)
		file, err := write(dir, "Caddyfile", fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n}\nhttp://:%s {\n\tbind 127.0.0.1\n\treverse_proxy %s\n}\n", portOf(addr), up))
		if err != nil {
			return nil, err
		}
		return start(addr, "caddy", "run", "--adapter", "caddyfile", "--config", file)
	}},
	{"nginx", func(dir, addr, up string) (func(), error) {
		file, err := write(dir, "nginx.conf", fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream up { server %[3]s; keepalive 128; }
  server { listen %[2]s; keepalive_requests 1000000000;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; } }
}
`, dir, addr, up))
		if err != nil {
			return nil, err
		}
		return start(addr, "nginx", "-c", file)
	}},
	{"haproxy", func(dir, addr, up string) (func(), error) {
		file, err := write(dir, "haproxy.cfg", fmt.Sprintf(`global
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  option forwardfor
  http-reuse always
frontend in
  bind %s
  default_backend up
backend up
  server one %s
`, addr, up))
		if err != nil {
			return nil, err
		}
		return start(addr, "haproxy", "-db", "-f", file)
	}},
}

// gapless is the built-in proxy with one app of one instance, as Up would set it up.
func gapless(addr, up string) {
	host, port, _ := net.SplitHostPort(addr)
	var number int
	fmt.Sscan(port, &number)
	p, err := proxy.New(host, []app.App{{Name: "demo-api", Ports: []app.Port{{Name: "http", Public: number}}}})
	if err != nil {
		log.Fatal(err)
	}
	a := p.App("demo-api")
	a.Add("1.0.0", "one", map[string]string{"http": up})
	a.SetRoute(rollout.Route{Weights: rollout.Weights{"1.0.0": 100}})
	p.Serve()
	select {}
}

func startSelf(addr string, args ...string) (func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(addr, self, args...)
}

// start runs a command until stop, and returns once addr takes connections.
func start(addr, name string, args ...string) (func(), error) {
	if _, err := exec.LookPath(name); err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getenv("BENCH_VERBOSE") != "" {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	}
	for range 100 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return nil, fmt.Errorf("%s does not listen on %s", name, addr)
}

func write(dir, name, content string) (string, error) {
	file := filepath.Join(dir, name)
	return file, os.WriteFile(file, []byte(content), 0o600)
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
