# Everything a developer does here. `make help` lists it.
SHELL   := /bin/bash
MODULES := . kit kit/grpckit examples/chi examples/chat examples/grpc
# With go.work, patterns reach over modules; GOWORK=off is only for the tools, which have a module file of their own.
ALL     := $(foreach m,$(MODULES),./$(m)/...)
TOOLS   := bin/tools

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

build: ## build bin/gapless and the demo service
	go build -o bin/ ./cmd/... 
	go build -o bin/ ./examples/api-status

test: ## all tests that need neither root nor a cluster, in all modules
	go test -timeout 5m $(ALL)
	GOWORK=off go test -C test/cluster ./...

check: $(TOOLS)/gofumpt $(TOOLS)/staticcheck ## format, vet (Linux and macOS), lint, generated files, layers
	@out=$$($(TOOLS)/gofumpt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	  if [ -n "$$out" ]; then echo "not formatted (run make fmt):"; echo "$$out"; exit 1; fi
	go vet $(ALL)
	GOOS=darwin go vet $(ALL)
	$(TOOLS)/staticcheck $(ALL)
	go test -count=1 -run 'TestLayers|TestPure|TestNoSleep' .
	@$(MAKE) --no-print-directory generate
	@git diff --exit-code --stat -- docs/reference api install/crd || { echo "generated files changed: commit what make generate wrote"; exit 1; }

fmt: $(TOOLS)/gofumpt ## format the code
	$(TOOLS)/gofumpt -w $$(git ls-files --cached --others --exclude-standard '*.go')

generate: ## write the generated files: the phase diagram, the reference pages, the resource definition
	GOWORK=off go generate ./api/...
	go test -count=1 -run 'TestDiagram|TestReference' ./internal/app ./internal/metrics ./internal/rollout ./internal/cli ./internal/cli/check ./internal/cli/lint -update
	go run ./install/reference > docs/reference/rollout.md

IMAGE ?= gapless:dev
image: ## the controller's image, without Docker: bin/gapless.tar as of docker save; PUSH=registry/gapless:1.0.0 pushes it too
	@mkdir -p bin
	go run ./install/image -tag $(IMAGE) -o bin/gapless.tar $(if $(PUSH),-push $(PUSH))

demo: ## the main job: four strategies, two services, every request counted
	@go build -o bin/ ./cmd/gapless
	@bin/gapless demo

CLUSTER = GOWORK=off go run -C test/cluster ./cmd/cluster
cluster-up: ## a real Kubernetes of NODES=2 nodes on this machine, version K8S=... (root)
	$(CLUSTER) install && NODES=$(or $(NODES),2) K8S=$(K8S) $(CLUSTER) up

others: ## what other tools say of a Deployment in each phase, by their own libraries
	GOWORK=off go test -C test/others -count=1 ./...

cluster-down: ## take it away again
	$(CLUSTER) down

e2e: ## the stories on a real cluster of two nodes (root): a pairwise part of each matrix
	$(CLUSTER) install
	GAPLESS_E2E=1 GOWORK=off go test -C test/cluster -count=1 -timeout 10m -run TestCluster ./...
	test/e2e/run

SOAK ?= 20
CLUSTER_SOAK ?= 1
SCHEDULES ?= 2000000
PARTS := soak-machine soak-cluster soak-stories soak-routers
soak: ## the full matrices, for hours; writes bench/results/<date>.md, and goes on when a part of it fails
	$(MAKE) --no-print-directory -j1 -k $(PARTS)

soak-machine:
	go run ./bench/soak -runs $(SOAK) -schedules $(SCHEDULES)

soak-install:
	$(CLUSTER) install

soak-cluster: soak-install
	GAPLESS_E2E=1 GOWORK=off go test -C test/cluster -count=1 -timeout 40m ./...

soak-stories: soak-install
	go run ./bench/soak/kubernetes -runs $(CLUSTER_SOAK) -k8s "$(K8S)"

soak-routers: soak-install
	go run ./bench/soak/kubernetes -name routers -runs $(CLUSTER_SOAK) -k8s "$(K8S)" routers

bench: ## what is fast, as ratios side by side; bench/README.md tells how to read it
	go test -run '^$$' -bench . -benchmem ./kit
	go run ./bench/edge
	go run ./bench/proxy
	go run ./bench/probe
	go run ./bench/wrap
	go run ./bench/gates

bench-cluster: ## what is lost beside plain Kubernetes, and what it takes of the API server (root); prints tables
	$(CLUSTER) install
	test/e2e/run bench/cluster

docs: build ## remake the pictures in docs/images (needs the packages chromium and tmux)
	go run ./docs/shots

clean: ## remove what was built
	rm -rf bin

$(TOOLS)/%: tools.mod tools.sum
	@mkdir -p $(TOOLS)
	GOWORK=off go build -modfile=tools.mod -o $(TOOLS)/ honnef.co/go/tools/cmd/staticcheck mvdan.cc/gofumpt
	@touch $(TOOLS)/*

.PHONY: help build test check fmt generate image demo cluster-up cluster-down others e2e soak soak-install $(PARTS) bench bench-cluster docs clean
.DEFAULT_GOAL := help
