//! Answers to requests whose body is not read to its end.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    web::{Bytes, Payload},
};

/// A body that keeps the request's payload until it is sent. The server discards the rest of a chunked payload that was dropped, without an end;
/// it closes the connection while the payload is kept.
struct KeepsPayload {
    body: BoxBody,
    _payload: Payload,
}

impl MessageBody for KeepsPayload {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

/// Makes the connection end after this answer, unless all of the request has arrived.
pub(super) fn unread(response: HttpResponse, payload: Payload) -> HttpResponse {
    response.map_body(|_, body| {
        BoxBody::new(KeepsPayload {
            body,
            _payload: payload,
        })
    })
}
