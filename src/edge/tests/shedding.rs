//! Who is turned away under too much load.

use super::*;
use crate::load::Overload;

#[tokio::test]
async fn newcomers_are_refused_and_shed_until_the_load_is_less() {
    for overload in [Overload::Memory, Overload::Lag] {
        let mut edge = Running::start(&[Scheme::Mqtt, Scheme::Http], |_| {});
        let _silent = edge.connect(Scheme::Mqtt).await;
        let unknown = edge.next_accepted().await;
        let mut page = edge.connect(Scheme::Http).await;
        until(|| read(&edge.counters.connections_accepted) == 2).await;
        edge.load.set(overload, true);

        in_time(unknown.handshake).await;
        assert_eq!(read_to_end(&mut page).await, "", "nor does it wait for a request to come");
        let mut late = edge.connect(Scheme::Mqtt).await;
        assert_eq!(read_to_end(&mut late).await, "");
        let counters = &edge.counters;
        let (shed, refused) = match overload {
            Overload::Memory => (&counters.shed_memory, &counters.refused_memory),
            Overload::Lag => (&counters.shed_lag, &counters.refused_lag),
        };
        until(|| read(shed) == 2).await;
        assert_eq!(read(refused), 1);
        assert_eq!(read(&edge.counters.addresses_refused_rate), 0);

        edge.load.set(overload, false);
        let _again = edge.connect(Scheme::Mqtt).await;
        edge.next_accepted().await;
    }
}

#[tokio::test]
async fn who_was_let_in_is_not_shed() {
    let mut edge = Running::start(&[Scheme::Mqtt], |_| {});
    let client = edge.connect(Scheme::Mqtt).await;
    let accepted = edge.next_accepted().await;
    // As a connection does when its CONNECT is accepted.
    drop(accepted.handshake);
    let _silent = edge.connect(Scheme::Mqtt).await;
    let unknown = edge.next_accepted().await;
    edge.load.set(Overload::Lag, true);
    in_time(unknown.handshake).await;
    let Stream::Plain(ours) = &accepted.stream else { panic!("it is plain TCP") };
    assert!(ours.try_write(b"still here").is_ok());
    in_time(client.readable()).await.expect("it is open");
    until(|| read(&edge.counters.shed_lag) == 1).await;
}
