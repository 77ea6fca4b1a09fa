//! Kinds that are answered, never stored: access reviews, self review, token review.

use k8s_openapi::api::{
    authentication::v1::{SelfSubjectReview, TokenReview},
    authorization::v1::{
        LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview,
        SubjectAccessReview,
    },
};
use serde_json::Value;

use crate::{
    field_error::FieldError,
    registry::{Resource, Rules},
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<SelfSubjectReview>().verbs(&["create"]),
        Resource::of::<TokenReview>()
            .verbs(&["create"])
            .rules(TokenReviewRules),
        Resource::of::<SelfSubjectAccessReview>()
            .verbs(&["create"])
            .rules(AccessReviewRules),
        Resource::of::<SubjectAccessReview>()
            .verbs(&["create"])
            .rules(AccessReviewRules),
        Resource::of::<LocalSubjectAccessReview>()
            .verbs(&["create"])
            .rules(AccessReviewRules),
        Resource::of::<SelfSubjectRulesReview>().verbs(&["create"]),
    ]
}

struct TokenReviewRules;

impl Rules for TokenReviewRules {
    fn validate(&self, new: &Value) -> Vec<FieldError> {
        if new["spec"]["token"].as_str().unwrap_or("").is_empty() {
            return vec![FieldError::required("spec.token", "")];
        }
        Vec::new()
    }
}

struct AccessReviewRules;

impl Rules for AccessReviewRules {
    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let spec = &new["spec"];
        let given = ["resourceAttributes", "nonResourceAttributes"]
            .into_iter()
            .filter(|f| spec.get(*f).is_some())
            .count();
        match given {
            1 => Vec::new(),
            0 => {
                let shown = Value::Null;
                vec![FieldError::invalid(
                    "spec.resourceAttributes",
                    shown,
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified",
                )]
            }
            _ => {
                let shown = spec["nonResourceAttributes"].clone();
                vec![FieldError::invalid(
                    "spec.nonResourceAttributes",
                    shown,
                    "cannot be specified in combination with resourceAttributes",
                )]
            }
        }
    }
}
