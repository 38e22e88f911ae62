package main

import (
	"fmt"
	"strings"
)

// The shapes are those of api.openai.com, header for header: a gateway that reads rate limits or passes headers on has that
// work to do here too.

const (
	completionID = "chatcmpl-BWlJBDk2xe66hjff60joVYpXi1hh4"
	modelName    = "gpt-4o-mini-2024-07-18"
	// 60 tokens of o200k, about.
	answerText = "I'm sorry for the trouble with your transfer. It is still pending because the receiving bank has not confirmed it " +
		"yet; this usually takes one to two business days. You don't need to send it again. If it hasn't arrived by Thursday, " +
		"reply to this message and I will open a trace for you right away."
	usageJSON = `{"prompt_tokens":300,"completion_tokens":60,"total_tokens":360,` +
		`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},` +
		`"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`
	vendorHeaders = "access-control-expose-headers: X-Request-ID\r\n" +
		"openai-organization: bench\r\nopenai-processing-ms: 1\r\nopenai-version: 2020-10-01\r\n" +
		"x-ratelimit-limit-requests: 30000\r\nx-ratelimit-limit-tokens: 150000000\r\n" +
		"x-ratelimit-remaining-requests: 29999\r\nx-ratelimit-remaining-tokens: 149999700\r\n" +
		"x-ratelimit-reset-requests: 2ms\r\nx-ratelimit-reset-tokens: 0s\r\n" +
		"x-request-id: req_c3e995e7a86953713a6dc1b17e399fd5\r\n"
)

// Anthropic's message of the same length, under the headers of api.anthropic.com.
const (
	messageID     = "msg_01XFDUDYJgAACzvnptvVoYEL"
	messageModel  = "claude-haiku-4-5-20251001"
	messageUsage  = `{"input_tokens":300,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":60,"service_tier":"standard"}`
	anthropicHead = "anthropic-organization-id: bench\r\nrequest-id: req_011CeCGmK3s5gu2qCkzHQHkB\r\n" +
		"anthropic-ratelimit-requests-limit: 30000\r\nanthropic-ratelimit-requests-remaining: 29999\r\n" +
		"anthropic-ratelimit-requests-reset: 2026-01-01T00:00:00Z\r\nanthropic-ratelimit-tokens-limit: 150000000\r\n" +
		"anthropic-ratelimit-tokens-remaining: 149999700\r\nanthropic-ratelimit-tokens-reset: 2026-01-01T00:00:00Z\r\n"
)

// answers holds every byte that the mock ever sends, made once.
type answers struct {
	whole      []byte   // a complete non-streamed answer, head and body
	message    []byte   // the same in Anthropic's protocol
	streamHead []byte   // the head of a stream
	chunks     [][]byte // one framed event each: content, then the finish reason
	usage      []byte   // the framed event asked for by include_usage
	done       []byte   // [DONE] and the end of the body
}

func newAnswers(chunks int) *answers {
	body := fmt.Sprintf(`{"id":%q,"object":"chat.completion","created":1747148049,"model":%q,"choices":[{"index":0,`+
		`"message":{"role":"assistant","content":%q,"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],`+
		`"usage":%s,"service_tier":"default","system_fingerprint":"fp_dbaca60df0"}`, completionID, modelName, answerText, usageJSON)
	made := &answers{
		whole: plain("200 OK", "application/json", vendorHeaders, body),
		message: plain("200 OK", "application/json", anthropicHead, fmt.Sprintf(`{"model":%q,"id":%q,"type":"message","role":"assistant",`+
			`"content":[{"type":"text","text":%q}],"stop_reason":"end_turn","stop_sequence":null,"usage":%s}`, messageModel, messageID, answerText, messageUsage)),
		streamHead: []byte("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n" +
			vendorHeaders + "\r\n"),
		usage: event(chunkJSON("", "null", usageJSON)),
		done:  append(frame("data: [DONE]\n\n"), "0\r\n\r\n"...),
	}
	words := strings.SplitAfter(answerText, " ")
	for i := range chunks {
		delta := fmt.Sprintf(`{"content":%q}`, words[i%len(words)])
		if i == 0 {
			delta = fmt.Sprintf(`{"role":"assistant","content":%q,"refusal":null}`, words[0])
		}
		made.chunks = append(made.chunks, event(chunkJSON(delta, "null", "null")))
	}
	made.chunks = append(made.chunks, event(chunkJSON("{}", `"stop"`, "null")))
	return made
}

func plain(status, contentType, headers, body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %s\r\ncontent-type: %s\r\n%scontent-length: %d\r\n\r\n%s",
		status, contentType, headers, len(body), body)
}

// chunkJSON is one chat.completion.chunk; without a delta it has no choices, like the chunk that carries the usage.
func chunkJSON(delta, finish, usage string) string {
	choices := ""
	if delta != "" {
		choices = fmt.Sprintf(`{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}`, delta, finish)
	}
	return fmt.Sprintf(`{"id":%q,"object":"chat.completion.chunk","created":1747148049,"model":%q,"service_tier":"default",`+
		`"system_fingerprint":"fp_dbaca60df0","choices":[%s],"usage":%s}`, completionID, modelName, choices, usage)
}

func event(json string) []byte { return frame("data: " + json + "\n\n") }

// frame makes one chunk of the chunked transfer coding.
func frame(payload string) []byte { return fmt.Appendf(nil, "%x\r\n%s\r\n", len(payload), payload) }
