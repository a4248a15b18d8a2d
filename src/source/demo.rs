//! A made-up organisation.
