"""Envoy's configuration, which is longer than all the others."""

TYPES = "type.googleapis.com/envoy.extensions."


def configuration(places):
    listeners = [listener(kind, places) for kind in ("p256", "rsa")]
    return {"static_resources": {"listeners": listeners, "clusters": [cluster(places)]}}


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def typed(name, kind, **settings):
    return {"name": name, "typed_config": {"@type": TYPES + kind, **settings}}


def listener(kind, places):
    work = places["work"]
    certificate = {"certificate_chain": {"filename": f"{work}/{kind}.pem"},
                   "private_key": {"filename": f"{work}/{kind}.key"}}
    tls = typed("tls", "transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context={
        "alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [certificate]})
    return {"name": kind, "address": address(places[kind]), "filter_chains": [
        {"transport_socket": tls, "filters": [manager(kind, work)]}]}


def manager(kind, work):
    log = typed("file", "access_loggers.file.v3.FileAccessLog", path=f"{work}/envoy.access")
    header = {"header": {"key": "x-served-by", "value": "bench"}}
    host = {"name": "app", "domains": ["*"], "response_headers_to_add": [header], "routes": [
        {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s", "idle_timeout": "60s"}}]}
    return typed(
        "http", "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=kind,
        access_log=[log],
        generate_request_id=False,
        request_headers_timeout="60s",
        stream_idle_timeout="60s",
        common_http_protocol_options={"idle_timeout": "75s"},
        route_config={"virtual_hosts": [host]},
        http_filters=[typed("router", "filters.http.router.v3.Router")],
    )


def cluster(places):
    endpoint = {"endpoint": {"address": address(places["backend"])}}
    most = {name: 100_000 for name in ("max_connections", "max_pending_requests", "max_requests")}
    return {"name": "app", "type": "STATIC", "connect_timeout": "60s",
            "circuit_breakers": {"thresholds": [most]},
            "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [endpoint]}]}}
