// What HttpRequest keeps of libcurl; for http_request.cc and http_client.cc alone.
#ifndef SALVE_PROBES_HTTP_REQUEST_PARSED_H_
#define SALVE_PROBES_HTTP_REQUEST_PARSED_H_

#include <curl/curl.h>

#include <memory>
#include <string>

#include "probes/http_client.h"

namespace salve {

struct FreeCurl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using CurlUrl = std::unique_ptr<CURLU, FreeCurl>;
using CurlList = std::unique_ptr<curl_slist, FreeCurl>;

struct HttpRequest::Parsed {
  HttpRequestOptions options;
  CurlUrl url;       // Parsed once: that saves a tenth of a transfer's instructions.
  CurlList headers;  // All that are sent beside curl's own.
  std::string host;  // Of options.url, without brackets.
  int port = 0;
  bool is_tls = false;
  std::string dial_host;  // Who is connected to: the host, or the proxy.
  int dial_port = 0;
  std::string resolve_as;  // The name under which curl looks for dial_host's addresses.
  bool dial_is_numeric = false;
};

}  // namespace salve

#endif  // SALVE_PROBES_HTTP_REQUEST_PARSED_H_
