//! Fifteen complaints that users of other real-time servers have, each as a story that would have caught it.
//!
//! | what they complain of | the story |
//! |---|---|
//! | events lost between snapshot and attach | `watching::events_between_the_snapshot_and_the_watch_are_not_lost` |
//! | no resume without an event, or after long silence | `watching::a_watch_that_never_had_an_event_resumes_also_after_a_long_rest` |
//! | "not recovered" though nothing was missed | `watching::nothing_missed_is_resumed_also_when_memory_is_empty` |
//! | groups that drop messages without a word | `watching::a_burst_reaches_everyone_whole` |
//! | a stale token on waking, a callback that throws | `access::a_callback_that_fails_wedges_nobody` |
//! | an expired refresh that is accepted | `access::an_expired_token_renews_nothing` |
//! | signing out does not reach the socket | `access::signing_out_is_the_last_that_a_socket_hears` |
//! | too large a message looks like a lost network | `access::a_message_that_is_too_large_is_told_so_and_not_tried_again` |
//! | nobody can see a slow client's queue | `sessions::what_waits_for_a_client` |
//! | the peak of a socket's buffer is kept | `slow_clients::the_largest_message_of_a_socket_is_not_what_it_costs_ever_after` |
//! | no compression | `bad_frames`: its story about extensions |
//! | presence that flaps, and ghosts | `presence`: its stories about reconnects and dead peers |
//! | a notification before the answer that it belongs to | `watching::the_answer_comes_before_its_first_notification` |
//! | a failed load that overwrites, a stop that loses | `keeping` |
//! | a turn that dies with its socket | `keeping::an_agent_needs_no_audience` |

mod access;
mod keeping;
mod watching;
