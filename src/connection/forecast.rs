//! Who would lose what, if another policy came: each live identity judged by it, and nothing changed.

use serde::Serialize;

use super::Connections;
use super::core::Identity;
use crate::engine::{Held, Surveyed};
use crate::policy::{Access, Policy, SubscribeVerdict};

/// What the sessions looked at would lose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ForecastPage {
    /// Only those that would lose something.
    pub sessions: Vec<Forecast>,
    /// Sessions looked at.
    pub sessions_count: u64,
    /// Where to go on; `None`: these were the last.
    pub next: Option<u64>,
}

/// What one session would lose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    pub client_id: String,
    pub username: String,
    pub connected: bool,
    /// Why its connection would be closed, if so.
    pub closed: Option<String>,
    pub subscriptions: Vec<SubscriptionForecast>,
    pub will: Option<WillForecast>,
}

/// What would become of one Subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriptionForecast {
    pub filter: String,
    /// `loses`: it would be gone. `lessened`: it would stay at a lower QoS, or with each delivery judged.
    pub change: &'static str,
    pub why: String,
}

/// The Will that would not be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WillForecast {
    pub topic: String,
    pub why: String,
}

/// Sessions judged before others have a turn on this thread.
const SLICE: usize = 64;

impl Connections {
    /// Judges at most `count` sessions by `policy`, from the one after `after` on.
    pub async fn forecast(&self, policy: &Policy, after: u64, count: usize) -> ForecastPage {
        let engine = &self.shared.environment.engine;
        let (mut page, mut after, mut left) = (ForecastPage::default(), after, count);
        while left > 0 {
            let slice = engine.survey(after, SLICE.min(left));
            let Some(last) = slice.last() else { return page };
            after = last.number();
            left -= slice.len();
            page.sessions_count += slice.len() as u64;
            page.sessions.extend(slice.iter().filter_map(|surveyed| self.forecast_of(policy, surveyed)));
            tokio::task::yield_now().await;
        }
        page.next = Some(after);
        page
    }

    /// `None`: nothing would be lost.
    fn forecast_of(&self, policy: &Policy, surveyed: &Surveyed) -> Option<Forecast> {
        let identity = surveyed.owner.as_any().downcast_ref::<Identity>()?;
        let mut forecast = Forecast {
            client_id: surveyed.client_id().as_str().to_owned(),
            username: surveyed.owner.name().to_owned(),
            connected: surveyed.is_connected,
            closed: None,
            subscriptions: Vec::new(),
            will: None,
        };
        let held = self.shared.environment.engine.subscriptions_of(surveyed);
        match identity.bind_to(policy) {
            Ok(access) => {
                forecast.subscriptions = held.iter().filter_map(|held| judge(&access, held)).collect();
                forecast.will = surveyed.will.as_ref().and_then(|will| {
                    let why = identity.will_refusal(&access, will)?;
                    Some(WillForecast { topic: will.topic().to_owned(), why })
                });
            }
            Err(error) => {
                let why = error.to_string();
                forecast.subscriptions = held.iter().map(|held| lost(held, why.clone())).collect();
                forecast.closed = Some(why);
            }
        }
        let is_anything = forecast.closed.is_some() || forecast.will.is_some() || !forecast.subscriptions.is_empty();
        is_anything.then_some(forecast)
    }
}

fn judge(access: &Access, held: &Held) -> Option<SubscriptionForecast> {
    let lessened =
        |why: String| Some(SubscriptionForecast { filter: held.filter.as_str().to_owned(), change: "lessened", why });
    match access.subscribe(&held.filter, held.maximum_qos) {
        SubscribeVerdict::Refused(verdict) => Some(lost(held, access.describe(verdict).to_string())),
        SubscribeVerdict::Granted { maximum_qos } | SubscribeVerdict::Filtered { maximum_qos, .. }
            if maximum_qos < held.maximum_qos =>
        {
            lessened(format!("QoS {} at most", maximum_qos as u8))
        }
        SubscribeVerdict::Filtered { .. } if !held.is_checked => {
            lessened("granted in part: each delivery is judged".to_owned())
        }
        SubscribeVerdict::Granted { .. } | SubscribeVerdict::Filtered { .. } => None,
    }
}

fn lost(held: &Held, why: String) -> SubscriptionForecast {
    SubscriptionForecast { filter: held.filter.as_str().to_owned(), change: "loses", why }
}
