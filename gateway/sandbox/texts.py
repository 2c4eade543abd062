"""The sentences that made-up conversations are put together from."""

from __future__ import annotations

QUESTIONS = (
    "Good morning! My blood sugar was 142 before breakfast.",
    "Is it OK to take the tablet in the evening instead?",
    "I walked for twenty minutes today 🚶",
    "I feel a bit dizzy since yesterday.",
    "When is my next appointment?",
    "The pharmacy says the refill is not ready yet.",
    "Ok",
    "Thanks!",
    "Can my daughter join the call on Thursday?",
    "Yesterday was difficult. I forgot my dose in the morning and took it at lunch.",
    "145/92 this morning, 138/88 after a rest.",
    "Is coffee allowed before the test?",
    "¿Puedo tomarlo con comida?",
    "I could not sleep. 😴",
    "Here are my numbers of the week:\nMon 131\nTue 127\nWed 140\nThu 129",
    "How do I change my address?",
)

ANSWERS = (
    "Thank you for letting us know.",
    "That sounds good, keep going!",
    "Please measure again in an hour and write to us.",
    "Yes, with a glass of water.",
    "Your appointment is on Thursday at 10:30.",
    "I have asked the pharmacy to call you.",
    "Please rest, and call us if it gets worse.",
    "Great progress 🎉",
    "No coffee before the test, please; water is fine.",
    "Sí, mejor con comida.",
)

CLOSINGS = (
    "",
    "How do you feel today?",
    "Write any time.",
    "Have a good day!",
    "— your care team",
)
