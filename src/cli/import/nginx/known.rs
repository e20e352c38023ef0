//! Directives by what becomes of them: those that are translated where they stand, and why the others are not.

/// What becomes of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Read where its effect is printed; whatever is not, is noted there.
    Translated,
    /// In one line with all others of the same reason.
    Alike {
        why: &'static str,
        instead: &'static str,
    },
    NoEqual {
        why: &'static str,
        instead: &'static str,
    },
    /// Keeps somebody out, so that what it stands in is not printed open.
    Closes(&'static str),
}

const LEFT_OUT: &str = "left out";
const UNKNOWN: &str = "is no directive that is known here";

const TRANSLATED: &[&str] = &[
    "http",
    "server",
    "location",
    "upstream",
    "map",
    "if",
    "events",
    "stream",
    "listen",
    "server_name",
    "root",
    "alias",
    "index",
    "try_files",
    "proxy_pass",
    "proxy_set_header",
    "proxy_read_timeout",
    "proxy_connect_timeout",
    "client_max_body_size",
    "client_body_timeout",
    "client_header_timeout",
    "keepalive_timeout",
    "add_header",
    "return",
    "rewrite",
    "set",
    "default_type",
    "ssl",
    "ssl_certificate",
    "ssl_certificate_key",
    "ssl_protocols",
    "ssl_client_certificate",
    "ssl_verify_client",
    "ssl_crl",
    "ssl_session_tickets",
    "ssl_stapling_file",
    "ssl_ecdh_curve",
    "set_real_ip_from",
    "real_ip_header",
    "allow",
    "deny",
    "auth_basic",
    "auth_request",
    "limit_except",
    "internal",
    "satisfy",
    "expires",
    "proxy_ssl_trusted_certificate",
    "large_client_header_buffers",
    "http2",
    "gzip",
    "gzip_types",
    "gzip_min_length",
];

const PROCESS: &[&str] = &[
    "user",
    "worker_processes",
    "worker_rlimit_nofile",
    "worker_cpu_affinity",
    "worker_priority",
    "worker_shutdown_timeout",
    "worker_connections",
    "multi_accept",
    "use",
    "accept_mutex",
    "pid",
    "daemon",
    "master_process",
    "load_module",
    "pcre_jit",
    "thread_pool",
    "env",
    "lock_file",
    "timer_resolution",
    "working_directory",
    "aio",
    "directio",
    "sendfile",
    "sendfile_max_chunk",
    "tcp_nopush",
    "tcp_nodelay",
    "types_hash_max_size",
    "types_hash_bucket_size",
    "server_names_hash_bucket_size",
    "server_names_hash_max_size",
    "variables_hash_max_size",
    "variables_hash_bucket_size",
    "map_hash_bucket_size",
    "map_hash_max_size",
    "proxy_headers_hash_max_size",
    "proxy_headers_hash_bucket_size",
    "open_file_cache",
    "open_file_cache_valid",
    "open_file_cache_min_uses",
    "open_file_cache_errors",
    "output_buffers",
    "postpone_output",
    "reset_timedout_connection",
    "lingering_close",
    "lingering_time",
    "lingering_timeout",
    "connection_pool_size",
    "request_pool_size",
    "client_body_buffer_size",
    "client_body_temp_path",
    "client_body_in_single_buffer",
    "client_body_in_file_only",
    "client_header_buffer_size",
    "proxy_buffer_size",
    "proxy_buffers",
    "proxy_busy_buffers_size",
    "proxy_max_temp_file_size",
    "proxy_temp_path",
    "proxy_temp_file_write_size",
    "fastcgi_temp_path",
    "uwsgi_temp_path",
    "scgi_temp_path",
    "lua_package_path",
    "lua_package_cpath",
    "lua_shared_dict",
    "lua_code_cache",
    "keepalive_requests",
    "http2_max_concurrent_streams",
    "http2_chunk_size",
    "resolver_timeout",
    "proxy_socket_keepalive",
];

const BY_ITSELF: &[&str] = &[
    "proxy_http_version",
    "proxy_buffering",
    "proxy_request_buffering",
    "server_tokens",
    "real_ip_recursive",
    "ssl_session_cache",
    "ssl_session_timeout",
    "ssl_prefer_server_ciphers",
    "ssl_buffer_size",
    "ssl_early_data",
    "merge_slashes",
    "underscores_in_headers",
    "ignore_invalid_headers",
    "chunked_transfer_encoding",
    "types",
    "gzip_static",
    "brotli_static",
    "etag",
    "absolute_redirect",
    "port_in_redirect",
    "server_name_in_redirect",
    "msie_padding",
    "disable_symlinks",
    "if_modified_since",
    "max_ranges",
    "resolver",
    "proxy_ssl_server_name",
    "proxy_ssl_session_reuse",
    "proxy_ssl_protocols",
    "proxy_ssl_verify",
    "proxy_ssl_verify_depth",
    "proxy_cache_bypass",
    "proxy_no_cache",
    "proxy_pass_request_headers",
    "proxy_pass_request_body",
    "proxy_ignore_client_abort",
    "proxy_next_upstream",
    "proxy_next_upstream_timeout",
    "proxy_next_upstream_tries",
    "proxy_send_timeout",
    "send_timeout",
    "proxy_pass_header",
];

const LOGS: &[&str] =
    &["access_log", "error_log", "log_format", "log_not_found", "log_subrequest", "rewrite_log", "open_log_file_cache"];

const COMPRESSION: &[&str] = &["gunzip", "gzip", "brotli", "zstd"];

const FASTCGI: &[&str] = &["fastcgi", "uwsgi", "scgi"];

const RATES: &[&str] = &["limit_req", "limit_req_zone", "limit_req_status", "limit_req_log_level", "limit_req_dry_run"];

const COUNTS: &[&str] =
    &["limit_conn", "limit_conn_zone", "limit_conn_status", "limit_conn_log_level", "limit_conn_dry_run"];

const PAGES: &str = "answers are sent as the server behind gives them, and our own errors are a line of text";

/// What becomes of the directive of this name.
pub(super) fn fate(name: &str) -> Fate {
    let has = |list: &[&str]| list.contains(&name);
    if has(TRANSLATED) {
        return Fate::Translated;
    }
    if has(PROCESS) {
        return alike("is about nginx's own process and memory");
    }
    if has(BY_ITSELF) {
        return alike("is done by itself, or in the one way there is; see README, In front of a site");
    }
    if has(LOGS) {
        return alike("logs go to standard error, as log.level and log.format say");
    }
    if has(RATES) {
        return Fate::Alike {
            why: "counts requests; here connections are counted",
            instead: "left out; limits.address_connects_per_s",
        };
    }
    if has(COUNTS) {
        let instead = "left out; limits.connections_per_address_max";
        return Fate::Alike { why: "is for one zone; here one limit holds for all", instead };
    }
    if COMPRESSION.iter().any(|prefix| is_of(name, prefix)) {
        return alike("answers are compressed in one way, where `compress` of their route says so");
    }
    if FASTCGI.iter().any(|prefix| is_of(name, prefix)) {
        return alike("only HTTP is spoken to servers behind");
    }
    if let Some((_, why)) = CLOSING.iter().find(|(closing, _)| *closing == name || is_of(name, closing)) {
        return Fate::Closes(why);
    }
    let reason = REASONS
        .iter()
        .find(|(known, ..)| known.strip_suffix('*').map_or(*known == name, |prefix| name.starts_with(prefix)));
    match reason {
        Some((_, why, instead)) => Fate::NoEqual { why, instead },
        None => Fate::NoEqual { why: UNKNOWN, instead: LEFT_OUT },
    }
}

/// Whether a location with it is answered by something else than files and servers behind.
pub(super) fn is_foreign_handler(name: &str) -> bool {
    const HANDLERS: [&str; 17] = [
        "fastcgi_pass",
        "uwsgi_pass",
        "scgi_pass",
        "grpc_pass",
        "memcached_pass",
        "redis_pass",
        "content_by_lua",
        "content_by_lua_block",
        "content_by_lua_file",
        "js_content",
        "perl",
        "empty_gif",
        "stub_status",
        "dav_methods",
        "mp4",
        "flv",
        "rtmp_stat",
    ];
    HANDLERS.contains(&name)
}

/// Whether what stands behind it is nobody's business: passwords, keys, and whatever is not known.
pub(super) fn may_hold_secret(name: &str) -> bool {
    let is_unknown = matches!(fate(name), Fate::NoEqual { why, .. } if why == UNKNOWN);
    is_unknown || name.starts_with("more_") || name.starts_with("auth_") || matches!(fate(name), Fate::Closes(_))
}

fn alike(why: &'static str) -> Fate {
    Fate::Alike { why, instead: LEFT_OUT }
}

fn is_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// What keeps somebody out in a way that there is none of here.
const CLOSING: &[(&str, &str)] = &[
    ("auth_jwt", "its tokens are for nginx; here auth.jwt is for MQTT and JSON clients"),
    ("access_by_lua", "Lua is not run, and decides there who may pass"),
    ("access_by_lua_block", "Lua is not run, and decides there who may pass"),
    ("access_by_lua_file", "Lua is not run, and decides there who may pass"),
    ("js_access", "JavaScript is not run, and decides there who may pass"),
    ("secure_link", "links are not checked"),
    ("secure_link_md5", "links are not checked"),
    ("auth_digest", "no password is asked for"),
    ("auth_pam", "no password is asked for"),
    ("auth_ldap", "no password is asked for"),
    ("auth_gss", "no password is asked for"),
];

/// Names, or their beginnings with a star; why; what instead.
const REASONS: &[(&str, &str, &str)] = &[
    ("error_page", PAGES, LEFT_OUT),
    ("proxy_intercept_errors", PAGES, LEFT_OUT),
    ("recursive_error_pages", PAGES, LEFT_OUT),
    ("auth_basic_user_file", "no password is asked for before a page", "what it is for is closed"),
    ("auth_request_set", "no other server is asked whether a request may pass", "what it is for is closed"),
    ("autoindex*", "no lists of files are made", LEFT_OUT),
    ("random_index", "no file is chosen at random", LEFT_OUT),
    ("proxy_cache*", "answers are not kept", LEFT_OUT),
    ("proxy_store*", "answers are not kept", LEFT_OUT),
    ("proxy_redirect", "Location of the server's own address is rewritten always, and nothing else", LEFT_OUT),
    ("proxy_cookie_*", "cookies are passed on as they are", LEFT_OUT),
    (
        "proxy_hide_header",
        "fields of answers are passed on",
        "left out; `headers` puts another value in the place of one",
    ),
    ("proxy_ignore_headers", "X-Accel-… is dropped; other fields mean nothing here", LEFT_OUT),
    ("proxy_method", "the method is passed on as it is", LEFT_OUT),
    ("proxy_set_body", "content is passed on as it is", LEFT_OUT),
    ("proxy_bind", "the system chooses from where connections go out", LEFT_OUT),
    ("proxy_limit_rate", "no rate of bytes is limited there", LEFT_OUT),
    ("proxy_ssl_certificate*", "no certificate is shown to servers behind", LEFT_OUT),
    ("proxy_ssl_*", "is not adjustable", LEFT_OUT),
    ("proxy_protocol", "no PROXY header is sent to servers behind", LEFT_OUT),
    ("limit_rate*", "no rate of bytes is limited there", LEFT_OUT),
    ("ssl_ciphers", "the cipher suites are those of TLS 1.3, and of 1.2 those with forward secrecy", LEFT_OUT),
    ("ssl_conf_command", "is OpenSSL's own", LEFT_OUT),
    ("ssl_dhparam", "finite-field Diffie-Hellman is not spoken", LEFT_OUT),
    (
        "ssl_session_ticket_key",
        "the key of tickets is made here and changed by itself",
        "left out; tls.ticket_rotation",
    ),
    ("ssl_stapling*", "no OCSP response is fetched", "left out; tls.ocsp, a file as `openssl ocsp -respout` writes it"),
    ("ssl_trusted_certificate", "a stapled response is checked against nothing", LEFT_OUT),
    ("ssl_password_file", "keys with a password are not read", "left out; `openssl pkey` takes it off"),
    ("ssl_verify_depth", "a chain may have what length it needs", LEFT_OUT),
    ("ssl_reject_handshake", "who asks for an unknown name gets the first certificate", LEFT_OUT),
    ("ssl_ocsp*", "clients' certificates are checked against lists", "left out; tls.crl"),
    ("ssl_*", "is not adjustable", LEFT_OUT),
    ("http2_*", "is not adjustable", LEFT_OUT),
    ("http3*", "HTTP/3 is not spoken", LEFT_OUT),
    ("quic_*", "HTTP/3 is not spoken", LEFT_OUT),
    ("geo*", "addresses and networks decide nothing about routes", LEFT_OUT),
    ("split_clients", "requests are not divided by chance", LEFT_OUT),
    ("sub_filter*", "content is passed on as it is", LEFT_OUT),
    ("ssi*", "content is passed on as it is", LEFT_OUT),
    ("charset*", "files of text are sent as they are, HTML without a charset", LEFT_OUT),
    ("source_charset", "content is passed on as it is", LEFT_OUT),
    ("mirror*", "requests go to one server", LEFT_OUT),
    ("valid_referers", "Referer is not looked at", LEFT_OUT),
    ("referer_hash*", "Referer is not looked at", LEFT_OUT),
    ("userid*", "no cookies are set", LEFT_OUT),
    ("more_set_*", "is of the module headers-more", "left out; `headers` sets a field of every answer"),
    ("more_clear_*", "is of the module headers-more", LEFT_OUT),
    ("add_trailer", "no trailers are sent", LEFT_OUT),
    ("grpc_*", "is not taken over", "left out; `proxy: h2c://…` or `h2://…` passes gRPC on"),
    ("health_check*", "servers are judged by the requests they get", "left out; fails_max and out_time of `proxy`"),
    ("modsecurity*", "no content is inspected", LEFT_OUT),
    ("stub_status", "numbers are under /metrics of the admin listener", LEFT_OUT),
    ("break", "rewrites have no order here", LEFT_OUT),
    ("uninitialized_variable_warn", "there are no variables", LEFT_OUT),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_fate() {
        assert_eq!(fate("proxy_pass"), Fate::Translated);
        assert!(matches!(fate("auth_jwt_key_file"), Fate::Closes(_)));
        assert!(matches!(fate("gzip_vary"), Fate::Alike { .. }));
        assert!(matches!(fate("gzip_static"), Fate::Alike { why, .. } if why.contains("by itself")));
        assert!(matches!(fate("proxy_cache_valid"), Fate::NoEqual { why, .. } if why.contains("kept")));
        assert!(matches!(fate("grpc_read_timeout"), Fate::NoEqual { instead, .. } if instead.contains("h2c://")));
        assert!(matches!(fate("nonsense"), Fate::NoEqual { why, .. } if why.contains("known")));
    }
}
