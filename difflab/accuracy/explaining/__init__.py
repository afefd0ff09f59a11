"""What an explanation is made of.

What flows: `evidence` holds floats against balls in both passes; `blame` names the first guilty
node; `patterns` and `stable_forms` know what to write instead; `reasons` tries it, and says it.
"""
