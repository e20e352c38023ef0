//! nginx in front of mosquitto, as the usual recipes for MQTT over secure WebSockets write it.

use std::{fs, process::Command};

use anyhow::Context;

use super::{Server, Surroundings, await_listening, free_port, loopback, mosquitto, spawn};

pub(super) fn start(around: &Surroundings<'_>) -> anyhow::Result<Server> {
    let (mut server, upstream) = mosquitto::start_behind(around)?;
    let program = around.programs.find("nginx").context("nginx is not installed")?;
    let [ws, wss] = [free_port()?, free_port()?];
    let file = around.folder.join("nginx.conf");
    fs::write(&file, settings(around, upstream, ws, wss))?;
    let log = around.folder.join("nginx.log");
    let mut command = Command::new(program);
    command.arg("-p").arg(around.folder).arg("-c").arg(file).arg("-e").arg(around.folder.join("nginx-error.log"));
    server.children.push(spawn(command, &log)?);
    let nginx = server.children.last_mut().context("nginx was just started")?;
    await_listening(nginx, loopback(wss), &log)?;
    server.ws = Some(loopback(ws));
    server.wss = Some(loopback(wss));
    server.https = Some(loopback(wss));
    Ok(server)
}

fn settings(around: &Surroundings<'_>, upstream: u16, ws: u16, wss: u16) -> String {
    let folder = around.folder.display();
    let chain = around.certificate.chain.display();
    let key = around.certificate.key.display();
    let descriptors = around.descriptors_max;
    let location = format!(
        "location /mqtt {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection \"upgrade\";
      proxy_set_header Host $host;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
    }}"
    );
    let web = around.upstream;
    format!(
        "daemon off;
worker_processes auto;
worker_rlimit_nofile {descriptors};
pid {folder}/nginx.pid;
events {{ worker_connections {descriptors}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  upstream web {{ server {web}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{ws};
    {location}
  }}
  server {{
    listen 127.0.0.1:{wss} ssl http2;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    {location}
    location /api/ {{
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"
    )
}
