//! What the handlers share: users, tokens, the bcrypt threads, metrics.

use crate::metrics::Metrics;
use crate::password_checker::PasswordChecker;
use crate::token::Tokens;
use crate::users::Users;
use std::sync::{Arc, PoisonError, RwLock};

/// The state of the service, built once.
pub(crate) struct App {
    pub(crate) tokens: Tokens,
    pub(crate) passwords: PasswordChecker,
    pub(crate) metrics: Arc<Metrics>,
    users: RwLock<Arc<Users>>,
}

impl App {
    pub(crate) fn new(
        tokens: Tokens,
        passwords: PasswordChecker,
        users: Users,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            tokens,
            passwords,
            metrics,
            users: RwLock::new(Arc::new(users)),
        }
    }

    /// The current users; a request keeps those it began with.
    pub(crate) fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace_users(&self, users: Users) {
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
    }
}
