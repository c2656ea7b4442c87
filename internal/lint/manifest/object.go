package manifest

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// An Object is one Kubernetes object.
type Object struct {
	Value // the whole of it

	File       *File
	APIVersion string
	Kind       string
	// Namespace is empty when the file leaves it to whoever applies it.
	Namespace string
	Name      string

	doc  int
	base path
}

// Is reports whether the object is of the kind, in a group that begins with the prefix: Is("apps/", "Deployment"). The core group is "v1".
func (o *Object) Is(group, kind string) bool {
	return o.Kind == kind && strings.HasPrefix(o.APIVersion, group)
}

// ID names the object as people do: Deployment/api, or Deployment/shop/api with its namespace.
func (o *Object) ID() string {
	if o.Namespace != "" {
		return o.Kind + "/" + o.Namespace + "/" + o.Name
	}
	return o.Kind + "/" + o.Name
}

// AddAfter writes another object behind the document that holds this one.
func (o *Object) AddAfter(text string) Edit {
	return Edit{File: o.File.Name, doc: o.doc, op: opAddDocument, text: text}
}

// objects are the objects of one document: itself, or the items of a list. What has no kind, such as a values file, is none.
func objects(f *File, index int, d *doc) []*Object {
	if d.root == nil {
		return nil
	}
	o := &Object{File: f, doc: index}
	o.Value = Value{object: o, node: d.root, line: d.line + d.root.Line, offset: d.line}
	return flatten(o, 3)
}

// flatten opens lists; depth ends lists of lists.
func flatten(o *Object, depth int) []*Object {
	if resolve(o.node).Kind != yaml.MappingNode {
		return nil
	}
	o.APIVersion, o.Kind = o.Get("apiVersion").String(), o.Get("kind").String()
	if o.Kind == "" || o.APIVersion == "" {
		return nil
	}
	if items := o.Get("items"); strings.HasSuffix(o.Kind, "List") && items.Exists() && depth > 0 {
		var all []*Object
		for i, item := range items.Items() {
			one := &Object{File: o.File, doc: o.doc, base: append(o.base[:len(o.base):len(o.base)], key("items"), index(i))}
			one.Value = item
			one.Value.object, one.Value.path = one, nil
			all = append(all, flatten(one, depth-1)...)
		}
		return all
	}
	o.Namespace, o.Name = o.Get("metadata", "namespace").String(), o.Get("metadata", "name").String()
	if o.Name == "" {
		o.Name = o.Get("metadata", "generateName").String()
	}
	return []*Object{o}
}
