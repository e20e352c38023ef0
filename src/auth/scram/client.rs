//! The client's side, for tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::sign;

pub(crate) fn first(username: &str) -> String {
    format!("n,,n={username},r=client")
}

/// client-final, and the server-final to expect.
pub(crate) fn last(username: &str, password: &str, server_first: &str) -> (String, String) {
    let mut attributes = server_first.split(',').map(|attribute| attribute.split_at(2).1);
    let (nonce, salt) = (attributes.next().unwrap(), attributes.next().unwrap());
    let iterations = attributes.next().unwrap().parse().unwrap();
    let mut salted = [0; 32];
    let salt = STANDARD.decode(salt).unwrap();
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, iterations, &mut salted);
    let client_key = sign(&salted, b"Client Key");
    let without_proof = format!("c=biws,r={nonce}");
    let signed = format!("n={username},r=client,{server_first},{without_proof}");
    let signature = sign(&Sha256::digest(client_key).into(), signed.as_bytes());
    let proof: [u8; 32] = std::array::from_fn(|at| client_key[at] ^ signature[at]);
    let server = sign(&sign(&salted, b"Server Key"), signed.as_bytes());
    (format!("{without_proof},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(server)))
}
