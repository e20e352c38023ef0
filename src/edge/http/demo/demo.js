"use strict";
const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/`);
const state = document.getElementById("state");
socket.onopen = () => { state.textContent = "Connected."; };
socket.onclose = () => { state.textContent = "Not connected."; };
