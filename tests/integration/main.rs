//! Tidegate as its users meet it: the real binary on loopback, over real TLS, spoken to by real clients.
//!
//! | module | what it shows |
//! |---|---|
//! | [`article_one`] | Eclipse paho in a browser, Python paho behind it |
//! | [`article_two`] | the page of 2018 and its JSON Actions, through a crash of the server |
//! | [`authentication`] | enhanced authentication, by SCRAM-SHA-256 |
//! | [`clients`] | mosquitto's clients, MQTT.js and both pages, everyone with everyone |
//! | [`differential`] | the same done to a real mosquitto, and what both answer compared |
//! | [`envelope`] | several devices on one connection, each message with its own proof |
//! | [`front`] | the site that nginx would serve, beside nginx itself |
//! | [`demo`] | what a newcomer opens first |
//! | [`judges`] | MQTT.js, paho and mosquitto's clients through every feature, through a failing network and at scale |
//! | [`mqtt`] | the standard's behaviour, packet by packet, over every transport |
//! | [`restart`] | what outlives a connection, and what a restart |
//! | [`policy`] | who may do what, the same for every dialect |
//! | [`verdicts`] | one table of verdicts, and the same ones on every way in |
//! | [`silent`] | clients that connect and say nothing |
//! | [`tokens`] | tokens that somebody else signed, from everywhere that a browser can put one |
//! | [`hostile`] | clients that mean harm, by the classes of failure that took other servers down |
//! | [`sys_topics`] | what the server says of itself under `$SYS` |
//! | [`tls`] | what is agreed on before anybody speaks |
//! | [`counters`] | every refusal is counted, and every gauge comes back to nothing |
//! | [`cli`] | the commands: what they print, where, and with which exit code |
//! | [`import`] | other brokers' files, judged beside those brokers |
//!
//! `tests/run` installs what these need. No test sleeps, no port is fixed, and every wait has a deadline ([`harness::PATIENCE`]).

#![expect(unreachable_pub, reason = "nothing in a test binary can be reached from outside")]

mod harness;

mod article_one;
mod article_two;
mod authentication;
mod cli;
mod clients;
mod counters;
mod demo;
mod differential;
mod drain;
mod envelope;
mod front;
mod handover;
mod hostile;
mod import;
mod judges;
mod mqtt;
mod policy;
mod restart;
mod silent;
mod sys_topics;
mod tls;
mod tokens;
mod verdicts;
