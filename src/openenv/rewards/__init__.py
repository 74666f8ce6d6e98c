"""Rewards: plain functions, sums of named ones, and the outcome that verifiers decide."""

from openenv.rewards.functions import Component, RewardFunction, WeightedSum, call_reward, outcome_reward

__all__ = ["Component", "RewardFunction", "WeightedSum", "call_reward", "outcome_reward"]
