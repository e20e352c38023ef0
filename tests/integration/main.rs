//! Tidegate as its users meet it: the real binary on loopback, over real TLS, spoken to by real clients.
//!
//! | module | what it shows |
//! |---|---|
//! | [`acme`] | certificates from an authority, by a real proof, or not at all |
//! | [`admin`] | what an operator asks a running server, and who may not |
//! | [`article_one`] | Eclipse paho in a browser, Python paho behind it |
//! | [`article_two`] | the page of 2018 and its JSON Actions, through a crash of the server |
//! | [`authentication`] | enhanced authentication, by SCRAM-SHA-256 |
//! | [`client_certificates`] | who a certificate says that a client is, and who has none that counts |
//! | [`clients`] | mosquitto's clients, MQTT.js and both pages, everyone with everyone |
//! | [`differential`] | the same done to a real mosquitto, and what both answer compared |
//! | [`envelope`] | several devices on one connection, each message with its own proof |
//! | [`floods`] | who comes too often, and who guesses; behind nginx, and as fail2ban reads it |
//! | [`front`] | the site that nginx would serve, beside nginx itself |
//! | [`demo`] | what a newcomer opens first |
//! | [`doctor`] | deployments with one mistake each, and whether the doctor finds it |
//! | [`http2`] | HTTP/2, its WebSockets and its floods |
//! | [`http_service`] | the server that is asked who a client is, and all that it can do wrong |
//! | [`judges`] | MQTT.js, paho and mosquitto's clients through every feature, through a failing network and at scale |
//! | [`key_urls`] | token keys from an issuer that comes, changes and goes |
//! | [`mqtt`] | the standard's behaviour, packet by packet, over every transport |
//! | [`one_port`] | MQTT and HTTP on one port |
//! | [`restart`] | what outlives a connection, and what a restart |
//! | [`policy`] | who may do what, the same for every dialect |
//! | [`verdicts`] | one table of verdicts, and the same ones on every way in |
//! | [`reload`] | changed files, taken by a server that runs, or not taken at all |
//! | [`revoke`] | another policy under running connections: who loses what, and how they learn of it |
//! | [`silent`] | clients that connect and say nothing |
//! | [`slow`] | clients that do not read: what becomes of their messages, and that nobody else notices |
//! | [`tokens`] | tokens that somebody else signed, from everywhere that a browser can put one |
//! | [`hostile`] | clients that mean harm, by the classes of failure that took other servers down |
//! | [`sys_topics`] | what the server says of itself under `$SYS` |
//! | [`limits`] | how fast, how much and how many a client may, and what becomes of a Client Identifier that two want |
//! | [`tls`] | what is agreed on before anybody speaks |
//! | [`counters`] | every refusal is counted, and every gauge comes back to nothing |
//! | [`swap`] | routes that change under requests, uploads and WebSockets |
//! | [`terms`] | limits that change under running connections
//! | [`tunnels`] | what WebSockets of servers behind count against |
//! | [`crowd`] | five thousand clients, and a server that reloads meanwhile |
//! | [`cli`] | the commands: what they print, where, and with which exit code |
//! | [`import`] | other brokers' files, judged beside those brokers |
//!
//! `tests/run` installs what these need. No test sleeps, no port is fixed, and every wait has a deadline ([`harness::PATIENCE`]).

#![expect(unreachable_pub, reason = "nothing in a test binary can be reached from outside")]

mod harness;

mod acme;
mod admin;
mod article_one;
mod article_two;
mod authentication;
mod cli;
mod client_certificates;
mod clients;
mod counters;
mod crowd;
mod demo;
mod differential;
mod doctor;
mod drain;
mod envelope;
mod floods;
mod front;
mod handover;
mod hostile;
mod http2;
mod http_service;
mod import;
mod judges;
mod key_urls;
mod limits;
mod mqtt;
mod one_port;
mod policy;
mod reload;
mod renewal;
mod restart;
mod revoke;
mod silent;
mod slow;
mod swap;
mod sys_topics;
mod terms;
mod tls;
mod tokens;
mod tunnels;
mod verdicts;
