//! nginx's phases and filters, in nginx's order.

mod access;
pub(crate) mod error_page;
pub(crate) mod filters;
pub(crate) mod phases;
pub(crate) mod route;
