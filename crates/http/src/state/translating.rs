//! Translating, by this node or another one.

use std::sync::atomic::Ordering;

use babelmesh_actors::{
    caller::{self, Call},
    domain::{ClientId, ErrorCode, Locality, TranslationRequest},
};

use super::Api;
use crate::{
    error::ApiError,
    translation::{Translation, TranslationOptions},
};

impl Api {
    /// Translates a text.
    pub(crate) async fn translate(
        &self,
        text: &str,
        options: &TranslationOptions,
        client: ClientId,
    ) -> Result<Translation, ApiError> {
        if text.trim().is_empty() {
            return Ok(Translation::untouched(text));
        }
        let number = self.orders.fetch_add(1, Ordering::Relaxed);
        let order = TranslationRequest {
            source_language: options.source.clone(),
            model_type: options.tier,
            format: options.format,
            splitting: options.splitting,
            xml: options.xml.clone(),
            glossary_id: options.glossary_id.clone(),
            alternatives: options.alternatives,
            priority: Some(options.priority),
            // By which clients take turns, on another node too.
            conversation_id: Some(format!("http-{client}")),
            deadline_ms: u64::try_from(options.timeout.unwrap_or(self.timeout).as_millis()).ok(),
            ..TranslationRequest::new(format!("http-{number}"), text, &options.target)
        };
        let Some(cluster) = &self.parts.cluster else {
            return self.translate_here(order, Locality::Node).await;
        };
        if order.glossary_id.is_some() {
            // Another node may not know the glossary yet: the intake has the terms go along.
            return self.translate_here(order, Locality::Reachable).await;
        }
        let nodes = cluster.candidate_nodes(&order);
        if nodes.is_better_elsewhere() {
            let answer = cluster.translate_among(order, nodes).await;
            return answer.map_or_else(
                || Err(ApiError::unavailable("no node supports the request")),
                Translation::of,
            );
        }
        // The models of a route over a pivot may be on different nodes. A client waits for none that is away.
        let here = self.translate_here(order.clone(), Locality::Reachable);
        let here = here.await;
        match &here {
            // Another node may have recovered meanwhile.
            Err(error) if error.is_worth_another_node() => {
                let remote_nodes = cluster.translate_among(order, nodes.others()).await;
                remote_nodes.map_or(here, Translation::of)
            }
            _ => here,
        }
    }

    /// Translates the texts of one request. One in an unknown language does not fail the others, nor does one that is detected in a language that no
    /// model reads: it comes back as it is.
    pub(crate) async fn translate_all(
        &self,
        texts: &[String],
        options: &TranslationOptions,
        client: ClientId,
    ) -> Result<Vec<Translation>, ApiError> {
        let has_others = texts.len() > 1 && options.source == "auto";
        let spoils = |error: &ApiError| match error.code() {
            Some(ErrorCode::UndetectedLanguage) => false,
            Some(ErrorCode::UnsupportedPair) => !has_others,
            _ => true,
        };
        let one = async |text: &String| match self.translate(text, options, client).await {
            Err(error) if !spoils(&error) => Ok(Translation::untouched(text)),
            answer => answer,
        };
        futures_util::future::try_join_all(texts.iter().map(one)).await
    }

    async fn translate_here(
        &self,
        order: TranslationRequest,
        locality: Locality,
    ) -> Result<Translation, ApiError> {
        let traces = &self.parts.traces;
        let call = Call {
            trace: traces.below(traces.current()),
            ..Call::new(order, locality)
        };
        let answer = caller::ask(&self.parts.intake, call);
        let outcome = answer.await.map_err(|_| ApiError::ending())?;
        if let Some(request_trace) = traces.answered(&outcome, None) {
            request_trace.delivered();
        }
        Ok(outcome.result?.into())
    }
}
