//! Unsupported modules of nginx: the directives that would enable them, their variables, and what
//! to do instead. Directives that only adjust such a module are in `settings`: they have no effect
//! in nginx either unless something enables the module.

pub(crate) mod settings;

/// An unsupported module, or a part of one.
pub(crate) struct Module {
    /// nginx's name for it.
    pub(crate) name: &'static str,
    /// Directives, separated by blanks.
    pub(crate) directives: &'static str,
    /// Variables, separated by blanks; one that ends in `_` is a prefix.
    pub(crate) variables: &'static str,
    /// What to do instead.
    pub(crate) instead: &'static str,
}

const fn module(name: &'static str, instead: &'static str) -> Module {
    Module {
        name,
        directives: "",
        variables: "",
        instead,
    }
}

impl Module {
    const fn directives(self, directives: &'static str) -> Self {
        Self { directives, ..self }
    }

    const fn variables(self, variables: &'static str) -> Self {
        Self { variables, ..self }
    }
}

/// Every directive of those modules.
pub(crate) fn directives() -> impl Iterator<Item = &'static str> {
    let all = MODULES.iter();
    all.flat_map(|module| module.directives.split_whitespace())
}

/// The module that has a directive.
pub(crate) fn directive(name: &str) -> Option<&'static Module> {
    let has = |module: &&Module| module.directives.split_whitespace().any(|own| own == name);
    MODULES.iter().find(has)
}

/// The module that has a variable; `name` in lower case.
pub(crate) fn variable(name: &str) -> Option<&'static Module> {
    let is = |own: &str| own == name || (own.ends_with('_') && name.starts_with(own));
    let has = |module: &&Module| module.variables.split_whitespace().any(is);
    MODULES.iter().find(has)
}

const FASTCGI: &str = "FastCGI is not spoken: use proxy_pass to an application that speaks HTTP, \
                       or keep nginx in front of it";
const UWSGI: &str =
    "the uwsgi protocol is not spoken: start uWSGI with --http-socket and use proxy_pass";
const SCGI: &str = "SCGI is not spoken: use proxy_pass to an application that speaks HTTP";
const GRPC: &str =
    "HTTP/2 to upstreams, which gRPC needs, is not spoken: keep nginx for this service";
const MEMCACHED: &str = "memcached is not asked: use proxy_pass to an application that asks it";
const NO_CACHE: &str = "there is no cache; remove the line";
const TUNNEL: &str = "CONNECT is not served: keep nginx as a forward proxy";
const MIRROR: &str = "a request goes to one upstream: remove the line";
const SSI: &str = "pages are sent as they are: let the application put them together";
const AS_IT_IS: &str = "bodies are sent as they are: let the application change them";
const DAV: &str = "files are only read: let an application store them";
const PSEUDO_STREAMING: &str =
    "remove the line: the file is served as it is, and players ask for ranges of it";
const RANDOM_INDEX: &str = "use index, or try_files";
const SLICE: &str = "there is no cache to fill in pieces; remove the line";
const USERID: &str = "let the application set cookies, or use add_header";
const GEOIP: &str = "GeoIP databases are not read: use geo with the networks you need";
const PERL: &str = "no Perl is run: let the application compute it, or use map";
const JAVASCRIPT: &str = "no JavaScript is run: let the application compute it, or use map";
const HTTP3: &str = "HTTP/3 is not implemented: use $server_protocol";
const NO_TRACES: &str = "requests are not traced: pass traceparent on with proxy_set_header";
const STREAM: &str = "plain TCP and UDP are not proxied: keep nginx for it";
const MAIL: &str = "mail is not proxied: keep nginx for it";
const COMMERCIAL: &str = "only the commercial NGINX Plus knows it: remove the line";
const EXTRA: &str = "it belongs to a module that is not part of nginx: remove the line";

/// Every unsupported module, in the order of nginx's documentation.
pub(crate) const MODULES: &[Module] = &[
    module("ngx_google_perftools_module", "the program has no profiler: remove the line")
        .directives("google_perftools_profiles"),
    module("ngx_otel_module", NO_TRACES)
        .directives(
            "otel_exporter otel_resource_attr otel_service_name otel_span_attr otel_span_name \
             otel_trace otel_trace_context",
        )
        .variables("otel_trace_id otel_span_id otel_parent_id otel_parent_sampled"),
    module("ngx_mgmt_module", COMMERCIAL).directives("mgmt"),
    module(
        "ngx_http_core_module",
        "no request follows a request: let the upstream do it, and remove the line",
    )
    .directives("post_action"),
    module("ngx_http_acme_module", "certificates are files: let cert-manager renew them")
        .directives("acme_issuer acme_certificate acme_shared_zone")
        .variables("acme_certificate acme_certificate_key"),
    module("ngx_http_addition_module", AS_IT_IS).directives("add_after_body add_before_body"),
    module("ngx_http_browser_module", "use map with $http_user_agent")
        .directives("ancient_browser ancient_browser_value modern_browser modern_browser_value")
        .variables("ancient_browser modern_browser"),
    module("ngx_http_charset_module", "nothing is converted; remove the line")
        .directives("charset_map"),
    module("ngx_http_degradation_module", "memory is bounded by itself: remove the line")
        .directives("degradation degrade"),
    module("ngx_http_empty_gif_module", "use `return 204;`, or serve a file")
        .directives("empty_gif"),
    module("ngx_http_fastcgi_module", FASTCGI)
        .directives("fastcgi_pass")
        .variables("fastcgi_script_name fastcgi_path_info"),
    module("ngx_http_fastcgi_module (cache)", NO_CACHE).directives("fastcgi_cache_path"),
    module("ngx_http_flv_module", PSEUDO_STREAMING).directives("flv"),
    module("ngx_http_geoip_module, ngx_stream_geoip_module", GEOIP)
        .directives("geoip_city geoip_country geoip_org")
        .variables(
            "geoip_area_code geoip_city geoip_city_continent_code geoip_city_country_code \
             geoip_city_country_code3 geoip_city_country_name geoip_country_code \
             geoip_country_code3 geoip_country_name geoip_dma_code geoip_latitude \
             geoip_longitude geoip_org geoip_postal_code geoip_region geoip_region_name",
        ),
    module("ngx_http_grpc_module", GRPC)
        .directives("grpc_pass")
        .variables("grpc_internal_trailers"),
    module("ngx_http_js_module, ngx_stream_js_module", JAVASCRIPT).directives(
        "js_access js_body_filter js_content js_context_reuse js_context_reuse_max_size js_engine \
         js_fetch_buffer_size js_fetch_ciphers js_fetch_keepalive js_fetch_keepalive_requests \
         js_fetch_keepalive_time js_fetch_keepalive_timeout js_fetch_max_response_buffer_size \
         js_fetch_protocols js_fetch_proxy js_fetch_timeout js_fetch_trusted_certificate \
         js_fetch_verify js_fetch_verify_depth js_filter js_header_filter js_import js_include \
         js_load_http_native_module js_load_stream_native_module js_path js_periodic \
         js_preload_object js_preread js_set js_shared_dict_zone js_var",
    ),
    module("ngx_http_memcached_module", MEMCACHED)
        .directives("memcached_pass")
        .variables("memcached_key"),
    module("ngx_http_mp4_module", PSEUDO_STREAMING).directives("mp4"),
    module("ngx_http_perl_module", PERL).directives("perl perl_modules perl_require perl_set"),
    module(
        "ngx_http_proxy_module",
        "it is for nginx itself: what the upstream gets is decided by proxy_set_header",
    )
    .variables("proxy_internal_body_length proxy_internal_chunked proxy_internal_host"),
    module("ngx_http_scgi_module", SCGI).directives("scgi_pass"),
    module("ngx_http_scgi_module (cache)", NO_CACHE).directives("scgi_cache_path"),
    module("ngx_http_secure_link_module", "use auth_request, or let the application check links")
        .directives("secure_link secure_link_md5 secure_link_secret")
        .variables("secure_link secure_link_expires"),
    module("ngx_http_slice_module", SLICE)
        .variables("slice_range"),
    module("ngx_http_ssl_module", "Encrypted Client Hello is not spoken: remove it")
        .directives("ssl_ech_file"),
    module("ngx_http_tunnel_module", TUNNEL).directives(
        "tunnel_bind tunnel_buffer_size tunnel_connect_timeout tunnel_next_upstream \
         tunnel_next_upstream_timeout tunnel_next_upstream_tries tunnel_pass tunnel_read_timeout \
         tunnel_send_lowat tunnel_send_timeout tunnel_socket_keepalive tunnel_socket_rcvbuf \
         tunnel_socket_sndbuf",
    ),
    module("ngx_http_userid_module", USERID)
        .variables("uid_got uid_reset uid_set"),
    module("ngx_http_uwsgi_module", UWSGI).directives("uwsgi_pass"),
    module("ngx_http_uwsgi_module (cache)", NO_CACHE).directives("uwsgi_cache_path"),
    module("ngx_http_v3_module", HTTP3)
        .variables("http3"),
    module("ngx_http_xslt_module", AS_IT_IS).directives("xml_entities xslt_stylesheet"),
    module("ngx_stream_*_module", STREAM)
        .directives(
            "pass preread_buffer_size preread_timeout proxy_download_rate proxy_downstream_buffer \
             proxy_half_close proxy_protocol proxy_protocol_timeout proxy_requests proxy_responses \
             proxy_ssl proxy_ssl_alpn proxy_timeout proxy_upload_rate proxy_upstream_buffer ssl_alpn \
             ssl_handshake_timeout ssl_preread stream",
        )
        .variables(
            "bytes_received protocol session_time ssl_preread_alpn_protocols ssl_preread_protocol \
             ssl_preread_server_name upstream_first_byte_time upstream_session_time",
        ),
    module("ngx_mail_*_module", MAIL).directives(
        "auth_http auth_http_header auth_http_pass_client_cert auth_http_timeout imap_auth \
         imap_capabilities imap_client_buffer mail max_errors pop3_auth pop3_capabilities protocol \
         proxy_buffer proxy_pass_error_message proxy_smtp_auth smtp_auth smtp_capabilities \
         smtp_client_buffer smtp_greeting_delay starttls timeout",
    ),
    module("NGINX Plus", COMMERCIAL)
        .directives(
            "api auth_oidc auth_require f4f f4f_buffer_size health_check health_check_timeout hls \
             hls_buffers hls_forward_args hls_fragment hls_mp4_buffer_size hls_mp4_max_buffer_size \
             internal_redirect keyval keyval_zone match mqtt mqtt_buffers mqtt_preread \
             mqtt_rewrite_buffer_size mqtt_set_connect ntlm num_map oidc_provider queue session_log \
             session_log_format session_log_zone state status status_format status_zone \
             sticky_cookie_insert upstream_conf zone_sync zone_sync_buffers \
             zone_sync_connect_retry_interval zone_sync_connect_timeout zone_sync_interval \
             zone_sync_recv_buffer_size zone_sync_server zone_sync_ssl zone_sync_ssl_certificate \
             zone_sync_ssl_certificate_key zone_sync_ssl_ciphers zone_sync_ssl_conf_command \
             zone_sync_ssl_crl zone_sync_ssl_name zone_sync_ssl_password_file \
             zone_sync_ssl_protocols zone_sync_ssl_server_name zone_sync_ssl_trusted_certificate \
             zone_sync_ssl_verify zone_sync_ssl_verify_depth zone_sync_timeout \
             fastcgi_cache_purge proxy_cache_purge scgi_cache_purge uwsgi_cache_purge",
        )
        .variables(
            "mqtt_preread_clientid mqtt_preread_username oidc_access_token oidc_claim_ \
             oidc_id_token session_log_binary_id session_log_id upstream_last_server_name \
             upstream_queue_time",
        ),
    module(
        "NGINX Plus (tokens)",
        "only the commercial NGINX Plus checks tokens: use auth_request, or let the application do it",
    )
    .directives(
        "auth_jwt auth_jwt_claim_set auth_jwt_header_set auth_jwt_key_cache auth_jwt_key_file \
         auth_jwt_key_request auth_jwt_leeway auth_jwt_require auth_jwt_type",
    )
    .variables("jwt_claim_ jwt_header_ jwt_payload"),
    module(
        "removed from nginx",
        "nginx itself has given it up: remove the line",
    )
    .directives("limit_zone spdy_chunk_size spdy_headers_comp")
    .variables("spdy spdy_request_priority"),
    module("headers_more", "use add_header with `always`, proxy_hide_header or proxy_set_header")
        .directives(
            "more_clear_headers more_clear_input_headers more_set_headers more_set_input_headers",
        ),
    module("echo", "use return, or proxy_pass")
        .directives("echo echo_after_body echo_before_body echo_exec echo_location echo_sleep"),
    module("brotli", "use gzip").directives(
        "brotli brotli_buffers brotli_comp_level brotli_min_length brotli_static brotli_types \
         brotli_window",
    ),
    module("zstd", "use gzip").directives("zstd zstd_comp_level zstd_min_length zstd_static zstd_types"),
    module("geoip2", GEOIP).directives("geoip2 geoip2_proxy geoip2_proxy_recursive"),
    module("vts", "read the program's own metrics: see --admin").directives(
        "vhost_traffic_status vhost_traffic_status_display vhost_traffic_status_filter_by_host \
         vhost_traffic_status_filter_by_set_key vhost_traffic_status_zone",
    ),
    module("modsecurity", "no rules are run: keep the firewall before or behind it").directives(
        "modsecurity modsecurity_rules modsecurity_rules_file modsecurity_transaction_id",
    ),
    module("lua", "no Lua is run: let the application compute it, or use map").directives(
        "access_by_lua access_by_lua_block access_by_lua_file balancer_by_lua_block \
         balancer_by_lua_file body_filter_by_lua_block body_filter_by_lua_file \
         content_by_lua content_by_lua_block content_by_lua_file header_filter_by_lua_block \
         init_by_lua init_by_lua_block init_by_lua_file init_worker_by_lua_block \
         log_by_lua_block lua_code_cache lua_package_cpath lua_package_path lua_shared_dict \
         rewrite_by_lua_block rewrite_by_lua_file set_by_lua set_by_lua_block \
         ssl_certificate_by_lua_block ssl_certificate_by_lua_file",
    ),
    module("set-misc", EXTRA).directives(
        "set_decode_base64 set_encode_base64 set_escape_uri set_md5 set_random set_sha1 \
         set_unescape_uri",
    ),
    module("opentelemetry, opentracing", NO_TRACES).directives(
        "opentelemetry opentelemetry_config opentelemetry_operation_name \
         opentelemetry_propagate opentelemetry_trust_incoming_spans opentracing \
         opentracing_load_tracer opentracing_operation_name opentracing_propagate_context \
         opentracing_tag opentracing_trust_incoming_span",
    ),
    module("others", EXTRA).directives(
        "check fair image_filter_avif pagespeed passenger_enabled rtmp subs_filter \
         subs_filter_types upload_pass upload_store",
    ),
];

#[cfg(test)]
mod tests {
    use super::super::{TABLES, VARIABLES};
    use super::*;

    fn names(of: fn(&Module) -> &'static str) -> impl Iterator<Item = &'static str> {
        MODULES
            .iter()
            .flat_map(move |module| of(module).split_whitespace())
    }

    #[test]
    fn a_name_stands_once() {
        for of in [|it: &Module| it.directives, |it: &Module| it.variables] {
            let mut all: Vec<_> = names(of).collect();
            all.sort_unstable();
            let twice = all.windows(2).find(|pair| pair[0] == pair[1]);
            assert_eq!(twice, None);
        }
    }

    #[test]
    fn what_is_here_is_not_called_unsupported() {
        for spec in TABLES.iter().flat_map(|(_, table)| table.iter()) {
            assert!(directive(spec.name).is_none(), "{}", spec.name);
        }
        let registry = VARIABLES.registry();
        let known: Vec<_> = names(|it| it.variables)
            .filter(|name| registry.knows(name))
            .collect();
        assert!(known.is_empty(), "{known:?}");
    }

    #[test]
    fn families_of_variables_are_known() {
        assert!(variable("jwt_claim_sub").is_some());
        assert!(variable("uid_got").is_some());
        assert!(variable("uid_gott").is_none());
    }
}
