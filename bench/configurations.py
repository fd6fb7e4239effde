"""The configurations of the contestants, which are equivalent; envoy_conf.py
has Envoy's."""

# One file for tls-proxy and both nginx. {h2_on} and {h2_listen} depend on the
# version.
CONFIGURATION = """
worker_processes 1;
daemon off;
pid {work}/{name}.pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
    access_log {work}/{name}.access;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    {more}
    upstream app {{ server 127.0.0.1:{backend}; keepalive 1024; keepalive_requests 100000000; }}
    ssl_protocols TLSv1.2 TLSv1.3;
    keepalive_requests 100000000;
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    add_header X-Served-By bench;
    {h2_on}
    server {{
        listen 127.0.0.1:{p256} ssl{h2_listen};
        ssl_certificate {work}/p256.pem;
        ssl_certificate_key {work}/p256.key;
        {locations}
    }}
    server {{
        listen 127.0.0.1:{rsa} ssl{h2_listen};
        ssl_certificate {work}/rsa.pem;
        ssl_certificate_key {work}/rsa.key;
        {locations}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn {most}
    tune.ssl.default-dh-param 2048
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    timeout connect 60s
    timeout client 75s
    timeout server 60s
    timeout http-keep-alive 75s
    timeout http-request 60s
    http-reuse always
frontend p256
    bind 127.0.0.1:{p256} ssl crt {work}/p256.both alpn h2,http/1.1
    default_backend app
frontend rsa
    bind 127.0.0.1:{rsa} ssl crt {work}/rsa.both alpn h2,http/1.1
    default_backend app
backend app
    http-response set-header X-Served-By bench
    server one 127.0.0.1:{backend} pool-max-conn -1
"""

CADDY = """
{{
    admin off
    auto_https off
    persist_config off
    log {{
        level ERROR
    }}
    servers {{
        protocols h1 h2
        timeouts {{
            read_header 60s
            idle 75s
        }}
    }}
}}
(app) {{
    bind 127.0.0.1
    header X-Served-By bench
    log {{
        output file {work}/caddy.access {{
            roll_disabled
        }}
    }}
    reverse_proxy 127.0.0.1:{backend} {{
        transport http {{
            keepalive 75s
            keepalive_idle_conns 1024
            keepalive_idle_conns_per_host 1024
            dial_timeout 60s
            response_header_timeout 60s
        }}
    }}
}}
https://:{p256} {{
    tls {work}/p256.pem {work}/p256.key
    import app
}}
https://:{rsa} {{
    tls {work}/rsa.pem {work}/rsa.key
    import app
}}
"""
