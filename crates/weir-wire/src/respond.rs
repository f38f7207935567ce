//! The answer itself.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use tokio::sync::{mpsc, oneshot};
use weir_core::{Error, Kind, Result};
use weir_formats::{EncodeOptions, Format, Shape, encoder};

use crate::body::{RowsBody, panicked};
use crate::compress::Compressor;
use crate::envelope::EnvelopeEncoder;
use crate::produce::{Ledger, Producer};
use crate::queue::{Item, Receiver, queue};
use crate::{Delivery, Rows, RowsOptions};

/// Streams `rows`. Headers wait for the first batch or the end, at most
/// [`Delivery::first_batch_wait`], so that an early failure, or none at all, is an error here.
pub async fn respond(rows: Rows, options: RowsOptions, delivery: Delivery) -> Result<Response> {
    if options.format == Format::Json && options.shape == Shape::Columns {
        return Err(
            Error::invalid("?shape", "`shape=columns` goes with previews only")
                .hint("a stream of rows takes shape=objects or shape=arrays"),
        );
    }
    let encode = EncodeOptions {
        shape: options.shape,
        js_safe: options.js_safe,
        end_marker: options.end_marker,
        arrow_compression: options.arrow_compression,
        arrow_modern: options.arrow_modern,
        csv: options.csv,
        parquet_compression: options.parquet_compression,
        metadata: delivery.metadata,
    };
    let encoder = if options.envelope && options.format == Format::Json {
        Box::new(EnvelopeEncoder::new(&rows.schema, &encode, delivery.report))
    } else {
        encoder(options.format, &rows.schema, &encode)?
    };
    let compressor = Compressor::new(options.content_encoding)?;
    let ledger = Ledger::new(delivery.on_end);
    let (sender, mut receiver) = queue(delivery.queue_bytes, delivery.memory.clone());
    let (early, refused) = oneshot::channel();
    let producer = Producer {
        batches: rows.batches,
        encoder,
        compressor,
        sender,
        inside: delivery.memory.hold(),
        ledger: Arc::clone(&ledger),
        problem: delivery.problem,
        stop: delivery.stop,
        early: Some(early),
    };
    let task = delivery.compute.spawn(producer.run());
    let first = match first(&mut receiver, refused, delivery.first_batch_wait).await {
        Ok(first) => first,
        Err(error) => {
            ledger.forget();
            return Err(error);
        }
    };
    let (mark, marks) = mpsc::channel(1);
    let body = RowsBody {
        receiver,
        task: Some(task),
        ledger,
        first: Some(first),
        mark: Some(mark),
        marks: Some(marks),
        abort: None,
        held: None,
        is_done: false,
        _kept: delivery.kept,
    };
    let mut response = Response::new(Body::new(body));
    *response.headers_mut() = data_headers(&options);
    Ok(response)
}

/// What comes first, or why nothing came.
async fn first(
    receiver: &mut Receiver,
    mut refused: oneshot::Receiver<Error>,
    wait: std::time::Duration,
) -> Result<Item> {
    tokio::select! {
        biased;
        Ok(error) = &mut refused => Err(error),
        // An error may be handed over between the two looks at it.
        item = receiver.recv() => item.ok_or_else(|| refused.try_recv().unwrap_or_else(|_| panicked())),
        () = tokio::time::sleep(wait) => {
            refused.close();
            // The error may have been handed over at that very moment.
            Err(refused.try_recv().unwrap_or_else(|_| nothing_came(wait)))
        }
    }
}

fn nothing_came(wait: std::time::Duration) -> Error {
    let message = format!("the source gave no row within {} s", wait.as_secs_f32());
    Error::new(Kind::Deadline, message)
        .code("first_batch_timeout")
        .hint("the query was stopped; narrow it so that rows come sooner, or raise first_batch_ms of the service")
}

/// The headers of every answer with rows.
pub fn data_headers(options: &RowsOptions) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let fixed = HeaderValue::from_static;
    headers.insert(CONTENT_TYPE, fixed(options.content_type()));
    headers.insert("weir-format", fixed(options.format.suffix()));
    headers.insert(VARY, fixed("Accept, Accept-Encoding, Authorization"));
    headers.insert(CACHE_CONTROL, fixed("no-store"));
    headers.insert(ACCEPT_RANGES, fixed("none"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    if let Some(encoding) = options.content_encoding {
        headers.insert(CONTENT_ENCODING, fixed(encoding.name()));
    }
    let disposition = options.download.as_deref();
    if let Some(value) = disposition.and_then(|name| crate::download::disposition(name).ok()) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    headers
}
