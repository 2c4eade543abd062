"""Access control: who calls, what they may do, and the trail of what was done.

Policy stands in ``gateway.domain.access``; here are the proofs (keys, tokens), the wrapper that asks the
policy at every door of an instance, and the audit trail.
"""
