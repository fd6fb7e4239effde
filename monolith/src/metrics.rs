//! The counters of the service and their page. `pod::exposition` writes the format.

use axum::http::StatusCode;
use pod::exposition::Page;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// The statuses counted by themselves; the last entry counts all others.
const STATUSES: [u16; 11] = [200, 400, 401, 404, 405, 408, 431, 499, 500, 503, 0];

/// The label `route`. Unknown paths share one value: with one for each, clients
/// could create any number of series.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route {
    Root,
    Login,
    Secure,
    Version,
    /// A path without a route.
    Other,
    /// No complete, valid HTTP request.
    Rejected,
}

const ROUTES: [&str; 6] = ["/", "/login", "/secure", "/version", "other", "refused"];

impl Route {
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/" => Self::Root,
            "/login" => Self::Login,
            "/secure" => Self::Secure,
            "/version" => Self::Version,
            _ => Self::Other,
        }
    }
}

/// How a login ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Login {
    Accepted,
    /// A wrong name or password.
    Refused,
    /// No credentials sent.
    Anonymous,
    /// Credentials that cannot be parsed.
    Malformed,
    /// The queue was full.
    Busy,
}

const LOGINS: [&str; 5] = ["accepted", "refused", "anonymous", "malformed", "busy"];

/// A file that was reloaded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reload {
    Secret,
    Users,
}

const RELOADS: [&str; 2] = ["secret", "users"];

/// Counters since the start of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: [[AtomicU64; STATUSES.len()]; ROUTES.len()],
    /// In microseconds.
    time: AtomicU64,
    logins: [AtomicU64; LOGINS.len()],
    /// Successes and failures.
    reloads: [[AtomicU64; 2]; RELOADS.len()],
    connections: AtomicI64,
    accepted: AtomicU64,
}

/// What is measured when the page is requested.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) healthy: bool,
    pub(crate) ready: bool,
    pub(crate) password_queue: usize,
    pub(crate) password_queue_capacity: usize,
    pub(crate) max_connections: usize,
    pub(crate) log_dropped: u64,
    pub(crate) users: usize,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            requests: Default::default(),
            time: AtomicU64::new(0),
            logins: Default::default(),
            reloads: Default::default(),
            connections: AtomicI64::new(0),
            accepted: AtomicU64::new(0),
        }
    }

    pub(crate) fn request(&self, route: Route, status: StatusCode, time: Duration) {
        let status = STATUSES.iter().position(|&known| known == status.as_u16());
        add(
            &self.requests[route as usize][status.unwrap_or(STATUSES.len() - 1)],
            1,
        );
        add(&self.time, time.as_micros() as u64);
    }

    pub(crate) fn login(&self, outcome: Login) {
        add(&self.logins[outcome as usize], 1);
    }

    pub(crate) fn reload(&self, file: Reload, success: bool) {
        add(&self.reloads[file as usize][usize::from(!success)], 1);
    }

    pub(crate) fn connection(&self, change: i64) {
        self.connections.fetch_add(change, Ordering::Relaxed);
        if change > 0 {
            add(&self.accepted, 1);
        }
    }

    /// Open connections of the service.
    pub(crate) fn open_connections(&self) -> u64 {
        u64::try_from(self.connections.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// The body of `/metrics`.
    pub(crate) fn page(&self, gauges: &Gauges) -> String {
        let mut page = Page::new();
        page.family("monolith_build_info", "gauge", "Version of the program.");
        page.sample(
            "monolith_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1,
        );
        page.process();
        self.page_requests(&mut page);
        self.page_logins(&mut page, gauges);
        self.page_connections(&mut page, gauges);
        page.single(
            "monolith_healthy",
            "gauge",
            "Whether /healthz answers 200.",
            u8::from(gauges.healthy),
        );
        page.single(
            "monolith_ready",
            "gauge",
            "Whether /readiness answers 200.",
            u8::from(gauges.ready),
        );
        self.page_reloads(&mut page);
        page.single(
            "monolith_access_log_dropped_total",
            "counter",
            "Access log lines dropped because nobody read them in time.",
            gauges.log_dropped,
        );
        page.into_text()
    }

    fn page_requests(&self, page: &mut Page) {
        let name = "monolith_requests_total";
        page.family(
            name,
            "counter",
            "Requests by route and status; 499: the client closed the connection first.",
        );
        let mut all = 0;
        for (route, counts) in ROUTES.iter().zip(&self.requests) {
            for (status, count) in STATUSES.iter().zip(counts) {
                let count = read(count);
                all += count;
                // A series begins with its first request, instead of 66 that are 0.
                if count > 0 {
                    let status = if *status == 0 {
                        "other".into()
                    } else {
                        status.to_string()
                    };
                    page.sample(name, &[("route", route), ("status", &status)], count);
                }
            }
        }
        let name = "monolith_request_duration_seconds";
        page.family(
            name,
            "summary",
            "Time from a request's header to its response's.",
        );
        page.sample(&format!("{name}_sum"), &[], read(&self.time) as f64 / 1e6);
        page.sample(&format!("{name}_count"), &[], all);
    }

    fn page_reloads(&self, page: &mut Page) {
        page.family(
            "monolith_reloads_total",
            "counter",
            "Reloads of changed files.",
        );
        for (file, counts) in RELOADS.iter().zip(&self.reloads) {
            for (outcome, count) in ["success", "failure"].iter().zip(counts) {
                page.sample(
                    "monolith_reloads_total",
                    &[("file", file), ("outcome", outcome)],
                    read(count),
                );
            }
        }
    }

    fn page_logins(&self, page: &mut Page, gauges: &Gauges) {
        page.family("monolith_logins_total", "counter", "Logins by outcome.");
        for (outcome, count) in LOGINS.iter().zip(&self.logins) {
            page.sample(
                "monolith_logins_total",
                &[("outcome", outcome)],
                read(count),
            );
        }
        page.single(
            "monolith_password_queue",
            "gauge",
            "Password checks waiting or running.",
            gauges.password_queue,
        );
        page.single(
            "monolith_password_queue_capacity",
            "gauge",
            "Largest number of password checks that may wait.",
            gauges.password_queue_capacity,
        );
        page.single(
            "monolith_users",
            "gauge",
            "Users who may log in.",
            gauges.users,
        );
    }

    fn page_connections(&self, page: &mut Page, gauges: &Gauges) {
        page.single(
            "monolith_connections",
            "gauge",
            "Open connections of the service.",
            self.open_connections(),
        );
        page.single(
            "monolith_connections_limit",
            "gauge",
            "Largest number of open connections; more wait.",
            gauges.max_connections,
        );
        page.single(
            "monolith_connections_accepted_total",
            "counter",
            "Connections accepted.",
            read(&self.accepted),
        );
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
