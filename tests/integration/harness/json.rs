//! A client of the JSON Action dialect.

use serde_json::{Value, json};

use super::server::Server;
use super::transport::{CLOSE, Ending, Over, PING, PONG, TEXT, Transport};

/// A WebSocket at `/ws/`.
pub struct JsonClient {
    pub transport: Transport,
}

impl JsonClient {
    pub fn open(server: &Server, over: Over) -> Self {
        Self { transport: Transport::open(server, over, "/ws/", "") }
    }

    /// Opens and logs in.
    pub fn log_in(server: &Server, over: Over, username: &str, password: &str) -> Self {
        let mut client = Self::open(server, over);
        client.send(&json!({ "Action": "connect", "Username": username, "Password": password, "Id": "login" }));
        client.expect(&json!({ "Action": "ack", "Id": "login" }));
        client
    }

    pub fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    pub fn send_text(&mut self, text: &str) {
        self.transport.write_frame(true, TEXT, text.as_bytes());
    }

    /// The next message; pings are answered on the way.
    pub fn receive(&mut self) -> Value {
        loop {
            let frame = self.transport.read_frame().unwrap_or_else(|ending| panic!("{ending:?} instead of a message"));
            match frame.opcode {
                PING => self.transport.write_frame(true, PONG, &frame.payload),
                TEXT => return serde_json::from_slice(&frame.payload).expect("JSON"),
                CLOSE => panic!("closed instead of a message: {:?}", frame.payload),
                opcode => panic!("a frame of opcode {opcode}: {:?}", String::from_utf8_lossy(&frame.payload)),
            }
        }
    }

    /// The next message, which must have every member of `members` with its value.
    pub fn expect(&mut self, members: &Value) -> Value {
        let message = self.receive();
        for (name, value) in members.as_object().expect("an object") {
            assert_eq!(&message[name], value, "{name} in {message}");
        }
        message
    }

    /// Subscribes, and waits for the answer.
    pub fn subscribe(&mut self, filter: &str) {
        self.send(&json!({ "Action": "subscribe", "Topic": filter, "Id": filter }));
        self.expect(&json!({ "Action": "ack", "Id": filter }));
    }

    /// Publishes a text.
    pub fn publish(&mut self, topic: &str, payload: &str) {
        self.send(&json!({ "Action": "publish", "Topic": topic, "Payload": payload }));
    }

    /// Asserts that nothing was sent before the answer to a ping: what the server had to say, it would have said by then.
    pub fn expect_nothing(&mut self) {
        self.send(&json!({ "Action": "ping", "Id": "nothing" }));
        self.expect(&json!({ "Action": "pong" }));
    }

    pub fn expect_closed(&mut self) -> Ending {
        self.transport.read_to_close()
    }
}
