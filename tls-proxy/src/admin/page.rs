//! The page of `/metrics`. Names and units follow Prometheus' conventions;
//! `docs/metrics.md` describes them.

use pod::exposition::Page;

use super::status::Snapshot;
use crate::lifecycle::drain::Phase;
use crate::log::losses;
use crate::metrics;
use crate::metrics::labels::{
    CLASSES, CODES, HANDSHAKES, LIMITS, PROTOCOLS, RELIEFS, SESSIONS, TLS, UPSTREAM_ERRORS,
};
use crate::metrics::{BOUNDS, Counter, Counters, Sums};

/// Every phase with its label value.
const PHASES: [(Phase, &str); 4] = [
    (Phase::Serving, "serving"),
    (Phase::LameDuck, "lame_duck"),
    (Phase::Draining, "draining"),
    (Phase::Deadline, "deadline"),
];

/// All metrics with their current values.
pub(super) fn page(snapshot: &Snapshot, phase: Phase) -> String {
    let (sums, totals) = (metrics::sums(), metrics::totals());
    let mut page = Page::new();
    page.family("tls_proxy_build_info", "gauge", "The running version.");
    page.sample(
        "tls_proxy_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1,
    );
    page.process();
    connections(&mut page, snapshot, sums, &totals);
    requests(&mut page, &totals);
    handshakes(&mut page, &totals);
    upstreams(&mut page, &totals);
    configuration(&mut page, snapshot);
    certificates(&mut page, snapshot);
    drain(&mut page, snapshot, phase, sums);
    page.into_text()
}

/// A family of counters with one label.
#[inline(never)]
fn by_label(page: &mut Page, name: &str, help: &str, label: &str, all: (&[&str], &[Counter])) {
    page.family(name, "counter", help);
    for (word, count) in all.0.iter().zip(all.1) {
        page.sample(name, &[(label, word)], count.read());
    }
}

fn connections(page: &mut Page, snapshot: &Snapshot, sums: Sums, totals: &Counters) {
    let gauges = [
        ("active", "Open client connections.", sums.active),
        (
            "reading",
            "Connections whose request head is being read.",
            sums.reading,
        ),
        ("writing", "Requests in progress.", sums.writing),
        ("waiting", "Connections without a request.", sums.waiting()),
        (
            "limit",
            "Connection limit of all workers together.",
            snapshot.connections as u64,
        ),
    ];
    page.single(
        "tls_proxy_connections_accepted_total",
        "counter",
        "Connections of clients.",
        sums.accepted,
    );
    for (name, help, value) in gauges {
        page.single(
            &format!("tls_proxy_connections_{name}"),
            "gauge",
            help,
            value,
        );
    }
    page.single(
        "tls_proxy_connections_made_room_total",
        "counter",
        "Idle connections closed to make room for others.",
        totals.made_room.read(),
    );
    by_label(
        page,
        "tls_proxy_memory_reclaimed_total",
        "Connections and streams evicted to free memory.",
        "waiting_for",
        (&RELIEFS, &totals.relieved),
    );
    page.single(
        "tls_proxy_memory_budget_bytes",
        "gauge",
        "Memory for connections and requests; 0 if it is not limited.",
        totals.budget.read(),
    );
    page.single(
        "tls_proxy_memory_reserved_bytes",
        "gauge",
        "Memory reserved by connections and requests.",
        totals.held.read(),
    );
    page.single(
        "tls_proxy_workers",
        "gauge",
        "Worker threads.",
        snapshot.workers,
    );
}

fn requests(page: &mut Page, totals: &Counters) {
    let name = "tls_proxy_requests_total";
    page.family(
        name,
        "counter",
        "Requests by status and protocol; 499 is a client that left.",
    );
    for (protocol, counts) in PROTOCOLS.iter().zip(&totals.ended) {
        for (code, count) in CODES.iter().zip(counts) {
            // A series starts with its first request: 128 empty ones would be of no use.
            let count = count.read();
            if count > 0 {
                page.sample(name, &[("code", code), ("protocol", protocol)], count);
            }
        }
    }
    page.single(
        "tls_proxy_log_lines_lost_total",
        "counter",
        "Lines of logs that could not be written.",
        losses::total(),
    );
    let name = "tls_proxy_request_duration_seconds";
    page.family(
        name,
        "histogram",
        "Time from a request's head to the end of its response; without tunnels.",
    );
    let sums = totals.durations.cumulative();
    let bucket = format!("{name}_bucket");
    for (bound, count) in BOUNDS.iter().zip(sums) {
        let bound = (*bound as f64 / 1e6).to_string();
        page.sample(&bucket, &[("le", &bound)], count);
    }
    let all = sums[BOUNDS.len()];
    page.sample(&bucket, &[("le", "+Inf")], all);
    page.sample(&format!("{name}_sum"), &[], totals.durations.seconds());
    page.sample(&format!("{name}_count"), &[], all);
    page.single(
        "tls_proxy_received_bytes_total",
        "counter",
        "Bytes of requests, counted when they end.",
        totals.received.read(),
    );
    page.single(
        "tls_proxy_sent_bytes_total",
        "counter",
        "Bytes of responses, counted when they end.",
        totals.sent.read(),
    );
    by_label(
        page,
        "tls_proxy_limited_requests_total",
        "Requests rejected by a limit.",
        "limit",
        (&LIMITS, &totals.limited),
    );
}

fn handshakes(page: &mut Page, totals: &Counters) {
    let name = "tls_proxy_handshakes_total";
    page.family(name, "counter", "TLS handshakes of clients.");
    for (version, counts) in TLS.iter().zip(&totals.handshakes) {
        for (session, count) in SESSIONS.iter().zip(counts) {
            let labels = [("version", *version), ("session", *session)];
            page.sample(name, &labels, count.read());
        }
    }
    by_label(
        page,
        "tls_proxy_handshake_failures_total",
        "Failed TLS handshakes.",
        "reason",
        (&HANDSHAKES, &totals.handshake_failures),
    );
}

fn upstreams(page: &mut Page, totals: &Counters) {
    let counters = [
        ("tries", "Requests sent to upstreams.", &totals.tries),
        (
            "retries",
            "Requests sent again after a failed attempt.",
            &totals.retries,
        ),
        (
            "connections",
            "Connections opened to upstreams.",
            &totals.connected,
        ),
    ];
    for (name, help, count) in counters {
        let name = format!("tls_proxy_upstream_{name}_total");
        page.single(&name, "counter", help, count.read());
    }
    by_label(
        page,
        "tls_proxy_upstream_responses_total",
        "Responses of upstreams by the class of their status.",
        "class",
        (&CLASSES, &totals.upstream_responses),
    );
    by_label(
        page,
        "tls_proxy_upstream_errors_total",
        "Errors of upstreams; \"stale\" is a kept connection that had been closed.",
        "reason",
        (&UPSTREAM_ERRORS, &totals.upstream_errors),
    );
}

fn configuration(page: &mut Page, snapshot: &Snapshot) {
    page.single(
        "tls_proxy_config_generation",
        "gauge",
        "Number of the configuration in force; the first is 1.",
        snapshot.generation(),
    );
    page.single(
        "tls_proxy_config_last_reload_successful",
        "gauge",
        "Whether the configuration read last is in force.",
        u8::from(snapshot.last_successful),
    );
    page.single(
        "tls_proxy_config_last_reload_timestamp_seconds",
        "gauge",
        "Time of the last reload, in seconds since 1970.",
        snapshot.last_read.as_secs_f64(),
    );
    let name = "tls_proxy_config_reloads_total";
    page.family(name, "counter", "Reloads after the start.");
    page.sample(name, &[("result", "success")], snapshot.taken);
    page.sample(name, &[("result", "failure")], snapshot.refused);
}

fn certificates(page: &mut Page, snapshot: &Snapshot) {
    let name = "tls_proxy_certificate_not_after_timestamp_seconds";
    page.family(
        name,
        "gauge",
        "Expiry of a certificate in force, in seconds since 1970.",
    );
    for own in &snapshot.certificates {
        let file = own.file.to_string_lossy();
        let labels = [
            ("file", &file[..]),
            ("name", &own.name),
            ("serial", &own.serial),
        ];
        page.sample(name, &labels, own.not_after);
    }
}

fn drain(page: &mut Page, snapshot: &Snapshot, phase: Phase, sums: Sums) {
    let name = "tls_proxy_drain_phase";
    page.family(
        name,
        "gauge",
        "Phase of the shutdown: 1 for the current one.",
    );
    for (own, word) in PHASES {
        page.sample(name, &[("phase", word)], u8::from(own == phase));
    }
    let name = "tls_proxy_drained_connections_total";
    page.family(
        name,
        "counter",
        "Connections that ended since the drain began: by themselves, or cut.",
    );
    let finished = snapshot.finished_in_drain(sums.closed);
    page.sample(name, &[("end", "finished")], finished);
    page.sample(name, &[("end", "cut")], snapshot.cut);
}
