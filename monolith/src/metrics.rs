//! What is counted and measured. How a page of it is written is
//! `pod::exposition`'s part.

use crate::routes;
use axum::http::StatusCode;
use pod::exposition::Page;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// The statuses that are told apart; the last stands for every other.
const STATUSES: [u16; 11] = [200, 400, 401, 404, 405, 408, 431, 499, 500, 503, 0];

/// How a login ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Login {
    Accepted,
    /// A wrong name or password.
    Refused,
    /// No credentials sent.
    Anonymous,
    /// Credentials that cannot be read.
    Malformed,
    /// The queue was full.
    Busy,
}

const LOGINS: [&str; 5] = ["accepted", "refused", "anonymous", "malformed", "busy"];

/// A file read again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reload {
    Secret,
    Users,
}

const RELOADS: [&str; 2] = ["secret", "users"];

/// Everything counted since the process began.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: [[AtomicU64; STATUSES.len()]; routes::NAMES.len()],
    /// In microseconds.
    time: AtomicU64,
    logins: [AtomicU64; LOGINS.len()],
    /// Successes and failures.
    reloads: [[AtomicU64; 2]; RELOADS.len()],
    connections: AtomicI64,
    accepted: AtomicU64,
}

/// What is measured at the moment of the asking.
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

    pub(crate) fn request(&self, route: usize, status: StatusCode, time: Duration) {
        let status = STATUSES.iter().position(|&known| known == status.as_u16());
        add(
            &self.requests[route][status.unwrap_or(STATUSES.len() - 1)],
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

    /// Connections of the service that are open now.
    pub(crate) fn open_connections(&self) -> u64 {
        u64::try_from(self.connections.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// The page of `/metrics`.
    pub(crate) fn page(&self, gauges: &Gauges) -> String {
        let mut page = Page::new();
        page.family("monolith_build_info", "gauge", "The version that runs.");
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
            "Lines of the access log nobody read in time.",
            gauges.log_dropped,
        );
        page.into_text()
    }

    fn page_requests(&self, page: &mut Page) {
        let name = "monolith_requests_total";
        page.family(
            name,
            "counter",
            "Requests by route and status; 499 is a client that left.",
        );
        let mut all = 0;
        for (route, counts) in routes::NAMES.iter().zip(&self.requests) {
            for (status, count) in STATUSES.iter().zip(counts) {
                let count = read(count);
                all += count;
                // A series begins with its first request: 66 empty ones help nobody.
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
        page.family(name, "summary", "Time from a request to its answer.");
        page.sample(&format!("{name}_sum"), &[], read(&self.time) as f64 / 1e6);
        page.sample(&format!("{name}_count"), &[], all);
    }

    fn page_reloads(&self, page: &mut Page) {
        page.family(
            "monolith_reloads_total",
            "counter",
            "Files read again after a change.",
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
            "Password checks that wait or run.",
            gauges.password_queue,
        );
        page.single(
            "monolith_password_queue_capacity",
            "gauge",
            "Password checks that may wait.",
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
            "Connections of the service.",
            self.open_connections(),
        );
        page.single(
            "monolith_connections_limit",
            "gauge",
            "Connections past which new ones wait.",
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
