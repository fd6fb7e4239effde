"""The configurations of the server under attack. Each has a network namespace of its own,
so the ports never change."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# As in deployments/; the others add what that does not have.
TLS, APPLICATION, HEALTH, ADMIN = 8443, 8080, 8081, 9113
PLAIN, CLEAR_HTTP2, PROXIED, SECURE = 8000, 8001, 8444, 8445

KEYS = "ssl_certificate cert.pem; ssl_certificate_key key.pem;"
# The path of new clients if everything else is proxied.
PROXY = f"location / {{ proxy_pass http://127.0.0.1:{APPLICATION}; }}"


def deployments():
    """The one of deployments/."""
    text = (ROOT / "deployments/proxy.conf").read_text()
    return text.replace("/etc/tls/tls.crt", "cert.pem").replace("/etc/tls/tls.key", "key.pem")


def static():
    """Files of 2 MB and small ones, over TLS and plain."""
    return f"""
    server {{ listen {TLS} ssl; http2 on; {KEYS} root files; }}
    server {{ listen {PLAIN}; root files; }}
    server {{ listen {CLEAR_HTTP2}; http2 on; root files; }}
    """


def proxy_protocol():
    """A listener that expects the PROXY protocol beside the usual one."""
    return deployments() + f"""
    server {{ listen {PROXIED} proxy_protocol; location / {{ return 200 ok; }} }}
    """


def gzip():
    """Responses are compressed."""
    return f"""
    gzip on; gzip_min_length 0; gzip_proxied any;
    server {{ listen {TLS} ssl; http2 on; {KEYS} {PROXY} }}
    """


def gunzip():
    """Responses are decompressed for clients that do not take gzip."""
    return f"""
    server {{ listen {TLS} ssl; http2 on; {KEYS} gunzip on; {PROXY} }}
    """


def patterns():
    """Regular expressions that backtrack for very long."""
    return f"""
    map $http_x_one $mapped {{ default none; "~^(a+)+$" some; }}
    server {{
        listen {TLS} ssl; http2 on; {KEYS}
        large_client_header_buffers 4 16k;
        location / {{ proxy_pass http://127.0.0.1:{APPLICATION}; }}
        location ~ ^/nested/(a+)+$ {{ return 200 nested; }}
        location /map {{ return 200 $mapped; }}
        location /search {{ if ($args ~ "(<|%3C).*script.*(>|%3E)") {{ return 403; }}
            if ($args ~* "union.*select.*from") {{ return 403; }} return 200 none; }}
        location ~ /(.*)/(.*)/(.*)\\.php$ {{ return 403; }}
        location /if {{ if ($http_x_one ~ "^(a|a)*$") {{ return 200 if; }} return 200 none; }}
        location /rewrite {{ rewrite "^/rewrite/(.*.*.*.*.*)x$" /$1 last; return 200 none; }}
    }}
    """


def tunnels():
    """Upgrades are proxied."""
    return f"""
    server {{
        listen {TLS} ssl; http2 on; {KEYS}
        location / {{
            proxy_pass http://127.0.0.1:{APPLICATION};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
        }}
    }}
    """


def zones():
    """Requests are limited by a field that clients choose, in a zone of the usual size."""
    return f"""
    limit_req_zone $http_x_key zone=keys:10m rate=100r/s;
    server {{
        listen {TLS} ssl; http2 on; listen {PLAIN}; {KEYS}
        location / {{ limit_req zone=keys; root files; }}
    }}
    """


def redirects():
    """Requests over HTTP/2 are redirected, and their path with them."""
    return f"""
    large_client_header_buffers 4 8k;
    server {{
        listen {TLS} ssl; http2 on; {KEYS}
        location = /small {{ root files; }}
        location / {{ return 301 https://www.example.com$request_uri; }}
    }}
    """


def secure_upstream():
    """Requests are proxied over TLS, with the name that they ask for."""
    return f"""
    upstream secure {{ server 127.0.0.1:{SECURE}; keepalive 1000; }}
    server {{
        listen {TLS} ssl; http2 on; listen {PLAIN}; {KEYS}
        location = /small {{ root files; }}
        location / {{
            proxy_pass https://secure; proxy_ssl_server_name on; proxy_ssl_name $host;
            proxy_http_version 1.1; proxy_set_header Connection "";
        }}
    }}
    """


def client_certificates():
    """Clients may show a certificate."""
    return f"""
    server {{
        listen {TLS} ssl; http2 on; {KEYS}
        ssl_verify_client optional; ssl_client_certificate cert.pem;
        {PROXY}
    }}
    """


def none():
    """monolith has no configuration file."""
    return ""


ALL = {
    made.__name__: made
    for made in (deployments, static, proxy_protocol, gzip, gunzip, patterns, zones, redirects, tunnels,
                 secure_upstream, client_certificates, none)
}
