package v1alpha1

// Traffic names one router: an object of the namespace that leads to the Services of the app, and in which traffic is divided while a
// revision is under way. Afterwards it is as its user wrote it.
//
// +kubebuilder:validation:XValidation:rule="[has(self.traefik), has(self.gatewayAPI), has(self.istio), has(self.ingress)].filter(x, x).size() == 1",message="spec.traffic: give exactly one of traefik, gatewayAPI, istio and ingress"
type Traffic struct {
	// Traefik v3, by its own definitions.
	// +optional
	Traefik *TraefikRoute `json:"traefik,omitempty"`
	// GatewayAPI, of whatever controller.
	// +optional
	GatewayAPI *GatewayRoute `json:"gatewayAPI,omitempty"`
	// Istio.
	// +optional
	Istio *IstioRoute `json:"istio,omitempty"`
	// Ingress names an Ingress: a blue-green with any controller; weights with ingress-nginx, and with Traefik 1.x.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Ingress string `json:"ingress,omitempty"`
}

// TraefikRoute names an IngressRoute, or a TraefikService that IngressRoutes name.
//
// +kubebuilder:validation:XValidation:rule="has(self.ingressRoute) != has(self.traefikService)",message="spec.traffic.traefik: give exactly one of ingressRoute and traefikService"
type TraefikRoute struct {
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	IngressRoute string `json:"ingressRoute,omitempty"`
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	TraefikService string `json:"traefikService,omitempty"`
	// API is where Traefik's own API answers, such as http://traefik.traefik:8080: then a step stands when every Traefik behind that
	// name has it. Name a headless Service, so that all are asked. Absent: a step stands when it is written.
	// +optional
	// +kubebuilder:validation:Pattern=`^https?://[^/?#@]+(/[^?#]*)?$`
	// +kubebuilder:validation:MaxLength=2048
	API string `json:"api,omitempty"`
}

// GatewayRoute names an HTTPRoute or a GRPCRoute.
//
// +kubebuilder:validation:XValidation:rule="has(self.httpRoute) != has(self.grpcRoute)",message="spec.traffic.gatewayAPI: give exactly one of httpRoute and grpcRoute"
type GatewayRoute struct {
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	HTTPRoute string `json:"httpRoute,omitempty"`
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	GRPCRoute string `json:"grpcRoute,omitempty"`
}

// IstioRoute names a VirtualService.
type IstioRoute struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	VirtualService string `json:"virtualService"`
}
