//! A double of AWS IAM, STS and Organizations behind a local HTTP endpoint: one account, or thousands.
//!
//! It exists for what other doubles don't do: real pagination, the life of a credential report, throttling, latency and
//! faults on demand, and counts of every call. The SDK's own clients are its judges, see `tests/fake_aws.rs`.
//!
//! ```ignore
//! let aws = FakeAws::start().await;
//! aws.account().add_user("alice", created);
//! let key = aws.account().add_key("alice", created);
//! aws.inject(Fault::on(Operation::ListAccessKeys, Action::Hang).user("alice").first(1));
//! // … point a client at aws.endpoint() …
//! assert_eq!(aws.calls().of(Operation::ListAccessKeys), 2);
//! ```
//!
//! More accounts are reached as in AWS, through roles: the access key id of a session tells its account.
//!
//! ```ignore
//! let site = aws.add_account("111122223333");
//! let role = site.account().add_role("reader");
//! aws.organization().add("111122223333", "team-a");
//! site.set_rate_limit(Service::Iam, 20.0, 20);
//! // … assume `role` with a client of aws.endpoint() …
//! assert_eq!(site.counts().of(Operation::ListUsers), 1);
//! ```

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every test binary includes the whole module and uses a part of it"
)]

mod account;
mod body;
mod fault;
mod iam;
mod identity;
mod operation;
mod organization;
mod organizations;
mod page;
mod population;
mod report;
mod server;
mod session;
mod shared;
mod site;
mod traffic;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use account::Account;
pub use fault::{Action, Fault};
pub use identity::{Key, LastUsed, Password, Role, Root, User};
pub use operation::{Operation, Service};
pub use organization::{Member, MemberState, Organization, StateFields, Unit};
pub use page::PageStyle;
pub use population::Population;
pub use report::{Report, TimeStyle};
pub use shared::OrganizationGuard;
pub use site::Site;
pub use traffic::{Call, Calls, Counts};
pub use wire::ErrorCode;

use shared::Shared;

/// Where the server runs, and how it ends.
enum Host {
    Task(tokio::task::JoinHandle<()>),
    Thread {
        stop: Option<oneshot::Sender<()>>,
        thread: Option<std::thread::JoinHandle<()>>,
    },
}

/// A running double. Dropping it closes the listener and every connection.
pub struct FakeAws {
    shared: Arc<Shared>,
    address: SocketAddr,
    host: Host,
}

impl FakeAws {
    /// Starts on a free port of the loopback, as a task of the current runtime.
    pub async fn start() -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on a given address: an endpoint that went down and comes back.
    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address)
            .await
            .expect("the address is free to bind");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        Self {
            shared,
            address,
            host: Host::Task(task),
        }
    }

    /// Starts on a thread of its own, named `fake-aws`, with its own single-threaded runtime: for callers without a
    /// runtime, for tests that pause tokio's clock, and for benches that tell the client's CPU time from the double's.
    pub fn start_on_thread() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("the loopback has a free port");
        listener
            .set_nonblocking(true)
            .expect("a socket can be made non-blocking");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-aws".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime can be built");
                runtime.block_on(async move {
                    let listener =
                        TcpListener::from_std(listener).expect("the listener is non-blocking");
                    tokio::select! {
                        () = server::serve(listener, served) => {}
                        // Also when the sender is dropped without a word.
                        _ = stopped => {}
                    }
                });
            })
            .expect("a thread can be started");
        Self {
            shared,
            address,
            host: Host::Thread {
                stop: Some(stop),
                thread: Some(thread),
            },
        }
    }

    /// The URL for `endpoint_url` or `AWS_ENDPOINT_URL`, for all services alike.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The environment in which a program of the SDK finds this endpoint, credentials that it accepts, and nothing of
    /// the machine's own configuration.
    pub fn environment(&self) -> [(&'static str, String); 7] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", "AKIAFAKE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "fake-secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ]
    }

    /// The first account, that of all credentials but those of sessions. Don't hold it across an await: no request is
    /// answered meanwhile.
    pub fn account(&self) -> MutexGuard<'_, Account> {
        self.shared.home.account()
    }

    /// The first account, with what is let through to it.
    pub fn home(&self) -> &Site {
        &self.shared.home
    }

    /// Adds an account: without users, without roles, and in no organization.
    ///
    /// # Panics
    /// If there is one of this id, or the id isn't 12 digits.
    pub fn add_account(&self, id: &str) -> Arc<Site> {
        self.shared.add(id)
    }

    /// Takes an account away, and all sessions for it.
    pub fn remove_account(&self, id: &str) {
        self.shared.remove(id);
    }

    /// The account of that id.
    ///
    /// # Panics
    /// If there is none.
    pub fn site(&self, id: &str) -> Arc<Site> {
        self.shared
            .site(id)
            .unwrap_or_else(|| panic!("the fake has no account {id}"))
    }

    /// The organization that the first account manages: made when it is asked for, with that account alone in it.
    /// Don't hold it across an await.
    pub fn organization(&self) -> OrganizationGuard<'_> {
        self.shared.organization()
    }

    /// How long sessions last, whatever `AssumeRole` asks for.
    pub fn set_session_lifetime(&self, lifetime: Duration) {
        self.shared.settings().session_lifetime = Some(lifetime);
    }

    /// Adds a fault to the plan, for every account. The first one that applies to a call decides it; delays add up.
    pub fn inject(&self, fault: Fault) {
        self.shared.traffic().faults.push(fault);
    }

    /// Denies every call of an operation from now on, as a missing permission does.
    pub fn deny(&self, operation: Operation) {
        self.inject(Fault::on(operation, Action::Error(ErrorCode::AccessDenied)));
    }

    /// Forgets all faults: the service is well again.
    pub fn clear_faults(&self) {
        self.shared.traffic().faults.clear();
    }

    /// How long each answer takes from the arrival of its request (none to begin with).
    pub fn set_latency(&self, latency: Duration) {
        self.shared.traffic().latency = latency;
    }

    /// Lets through `per_second` calls of IAM on average and `burst` at once to each account, those to come included,
    /// and throttles the rest as AWS does. Other services have limits of their own, see [`Site::set_rate_limit`].
    pub fn set_rate_limit(&self, per_second: f64, burst: u32) {
        self.shared.limit(Some((per_second, burst)));
    }

    /// Lets every call through.
    pub fn clear_rate_limit(&self) {
        self.shared.limit(None);
    }

    /// Keeps no log of calls from now on, for load: [`Site::counts`] go on.
    pub fn keep_no_log(&self) {
        self.shared.traffic().keeps_log = false;
    }

    /// What was called since the start or the last reset, of all accounts.
    pub fn calls(&self) -> Calls {
        self.shared.traffic().calls()
    }

    /// Starts counting anew. Calls in flight stay in flight.
    pub fn reset_calls(&self) {
        self.shared.traffic().reset_calls();
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        match &mut self.host {
            // The task owns the listener and, in a `JoinSet`, every connection: aborting it ends them all.
            Host::Task(task) => task.abort(),
            Host::Thread { stop, thread } => {
                drop(stop.take());
                if let Some(thread) = thread.take() {
                    // A panic over there must not become a second panic here while a test unwinds.
                    let _ = thread.join();
                }
            }
        }
    }
}
