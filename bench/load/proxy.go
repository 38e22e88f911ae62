package main

import (
	"flag"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// runProxy serves Go's own reverse proxy with next to nothing around it: the reference that DESIGN.md section 7 measures Merit by.
func runProxy(args []string) error {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:9001", "`address`")
	upstream := flags.String("upstream", "http://127.0.0.1:9000", "`URL` that paths are appended to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	target, err := url.Parse(*upstream)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 1024, // the default of 2 would open a connection for most requests
			DisableCompression:  true,
		},
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Without this the server closes the request's body at the first byte of the answer, and an upstream that answers at
		// once has its connection torn down: a few streams in ten thousand break off (golang/go#40747).
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	server := &http.Server{Addr: *listen, Handler: handler}
	return server.ListenAndServe()
}
